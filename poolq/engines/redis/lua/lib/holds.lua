-- Part `holds`: keys that are held, so that no job starts under their limits.
--
-- A job may hold a key although it has no limit with this key. Then it waits in the hold's own
-- line, whose rule has the hold's key and the window HOLD_WINDOW.

local HOLDS = P .. 'holds'
local HOLD_WINDOW = 9e15
local HOLD_PREFIX = digits(HOLD_WINDOW) .. ':'
-- HOLDS expires this many milliseconds after the last hold has ended. Without it, no key is held.
local KEPT_HOLDS = 10000

-- When a stored hold ends; 0 if it is over. A hold that begins in the future was made before the
-- clock went back, and counts as over.
local function end_of_hold(stored)
  local start, ends = string.match(stored or '', '^(%d+) (%d+)$')
  start, ends = tonumber(start), tonumber(ends)
  if start and start <= now and now < ends and ends <= FURTHEST then return ends end
  return 0
end

-- When the hold of a key ends; 0 if the key is not held.
local function hold_end(key)
  return end_of_hold(call('HGET', HOLDS, key))
end

-- How long keys of these rules are held (0: not at all), and the position of the rule whose key is
-- held longest.
local function check_holds(rules)
  local wait, at = 0, 0
  if call('EXISTS', HOLDS) == 0 then return wait, at end
  for i, rule in ipairs(rules) do
    local rest = hold_end(rule.key) - now
    if rest > wait then wait, at = rest, i end
  end
  return wait, at
end

-- Hold a key for at least `length` microseconds; 0 changes nothing. Returns when the hold ends.
local function set_hold(key, length)
  if length == 0 then return math.max(hold_end(key), now) end
  local ends = math.max(hold_end(key), now + length)
  call('HSET', HOLDS, key, stamp .. ' ' .. digits(ends))
  local ttl = math.ceil((ends - now) / 1000) + KEPT_HOLDS
  if call('PTTL', HOLDS) < ttl then call('PEXPIRE', HOLDS, digits(ttl)) end
  return ends
end

-- Whether the line with this identity is that of a hold.
local function is_hold(identity)
  return string.sub(identity, 1, #HOLD_PREFIX) == HOLD_PREFIX
end

local function hold_rule(key)
  return {limit = 1, window = HOLD_WINDOW, key = key}
end
