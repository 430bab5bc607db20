-- Part `window_opening`: begin a window. A rule is as in part `limit_windows`, and has `identity`,
-- `counted` (the starts that count now) and `total` (the starts in earlier windows).

-- Milliseconds for which a window is kept after its end, so that the count of all starts continues.
local EXTRA_TTL = 10000

-- Remove a few ended windows, so that the index stays small and no script removes 100,000 at once.
local function forget_ended(windows)
  local ended = call('ZRANGE', windows, '-inf', stamp, 'BYSCORE', 'LIMIT', 0, 2)
  if #ended > 0 then call('ZREM', windows, unpack(ended)) end
end

local function open_window(rule)
  local ends, ttl = now + rule.window, math.ceil(rule.window / 1000) + EXTRA_TTL
  local windows = P .. 'windows'
  local first = table.concat(
    {stamp, digits(rule.counted), digits(rule.limit), digits(rule.total + rule.counted)}, ' ')
  forget_ended(windows)
  call('ZADD', windows, digits(ends), rule.identity)
  if call('PTTL', windows) < ttl then call('PEXPIRE', windows, digits(ttl)) end
  call('SET', P .. 'win:' .. rule.identity, first, 'PX', digits(ttl))
end
