-- Part `limit_windows` (needs only `base`): fixed windows of limits. A rule is {limit, window,
-- key}, with `window` in microseconds.

-- How many ended windows are removed from the index for each one that opens.
local FORGOTTEN_PER_OPENED = 2
-- Milliseconds for which a window is kept after its end, so that the count of all starts continues.
local EXTRA_TTL = 10000

local function identity_of(rule)
  return digits(rule.window) .. ':' .. rule.key
end

-- Return the start of an identity's open window and its number of starts (nil and 0 if none is
-- open), and the number of starts in all windows. A window that begins in the future was opened
-- before the clock went back, and counts as ended.
local function window_of(identity, length)
  local stored = call('GET', P .. 'win:' .. identity)
  local total = 0
  if stored then
    local start, used, ever = string.match(stored, '^(%d+) (%d+) %d+ ?(%d*)')
    start, total = tonumber(start), tonumber(ever) or tonumber(used) or 0
    if start and start <= now and now < start + length then return start, tonumber(used), total end
  end
  return nil, 0, total
end

-- How long until all rules allow a start (0: now), and the position of the rule that requires the
-- wait.
local function check_rules(rules)
  local wait, at = 0, 0
  for i, rule in ipairs(rules) do
    rule.identity = identity_of(rule)
    rule.start, rule.used, rule.total = window_of(rule.identity, rule.window)
    if rule.start and rule.used >= rule.limit then
      local rest = rule.start + rule.window - now
      if rest > wait then wait, at = rest, i end
    end
  end
  return wait, at
end

-- Remove a few ended windows, so that the index stays small and no script removes 100,000 at once.
local function forget_ended(windows)
  local ended = call('ZRANGE', windows, '-inf', stamp, 'BYSCORE', 'LIMIT', 0, FORGOTTEN_PER_OPENED)
  if #ended > 0 then call('ZREM', windows, unpack(ended)) end
end

local function open_window(rule)
  local ends, ttl = now + rule.window, math.ceil(rule.window / 1000) + EXTRA_TTL
  local windows = P .. 'windows'
  local first = stamp .. ' 1 ' .. digits(rule.limit) .. ' ' .. digits(rule.total + 1)
  forget_ended(windows)
  call('ZADD', windows, digits(ends), rule.identity)
  if call('PTTL', windows) < ttl then call('PEXPIRE', windows, digits(ttl)) end
  call('SET', P .. 'win:' .. rule.identity, first, 'PX', digits(ttl))
end

-- Take one start from each rule, or none. Returns the same as `check_rules`.
local function take(rules)
  local wait, at = check_rules(rules)
  if wait > 0 then return wait, at end
  for _, rule in ipairs(rules) do
    if rule.start then
      local used = {rule.start, rule.used + 1, rule.limit, rule.total + 1}
      for at, number in ipairs(used) do used[at] = digits(number) end
      call('SET', P .. 'win:' .. rule.identity, table.concat(used, ' '), 'KEEPTTL')
    else
      open_window(rule)
    end
  end
  return 0, 0
end

-- The span of time in which the slots just taken count, and in which all of their windows are open.
local function span_of(rules)
  local from, to = 0, now
  for i, rule in ipairs(rules) do
    local start = rule.start or now
    from = math.max(from, start)
    to = i == 1 and start + rule.window or math.min(to, start + rule.window)
  end
  return digits(from) .. ':' .. digits(to)
end
