-- Part `parking` (needs `limits`): jobs that wait off the queue for a slot of their rules.
--
-- Rules are stored as "<refused> " and then "<limit> <window> <bytes>:<key>" for each rule;
-- `refused` is the position (from 1) of the rule under which the job waits.

-- Identities without a free slot that one step looks at.
local TRIED = 16

local function rules_in(text)
  local rules = {}
  local _, at, refused = string.find(text, '^(%d+) ')
  while at and at < #text do
    local _, stop, limit, window, size = string.find(text, '^(%d+) (%d+) (%d+):', at + 1)
    if not stop then break end
    at = stop + size
    local key = string.sub(text, stop + 1, at)
    rules[#rules + 1] = {limit = tonumber(limit), window = tonumber(window), key = key}
  end
  return rules, rules[tonumber(refused or 0)]
end

local function park_of(queue, identity)
  return P .. 'park:' .. #queue .. ':' .. queue .. ':' .. identity
end

local function rules_of(queue, id)
  local text = call('HGET', P .. 'parkrules:' .. queue, id)
  if text then return rules_in(text) end
  return {}
end

local function park(queue, id, text)
  local rules, rule = rules_in(text)
  local slots, identity = P .. 'parked:' .. queue, identity_of(rule)
  call('HSET', P .. 'parkrules:' .. queue, id, text)
  if call('RPUSH', park_of(queue, identity), id) == 1 then
    call('ZADD', slots, digits(now + probe(rules)), identity)
    wake(queue, 0)
  end
end

-- Note when the next job of an identity may start; forget an identity that has none.
local function set_slot(queue, identity)
  local slots = P .. 'parked:' .. queue
  local id = call('LINDEX', park_of(queue, identity), 0)
  if id then
    call('ZADD', slots, digits(now + probe(rules_of(queue, id))), identity)
  else
    call('ZREM', slots, identity)
  end
end

-- Take a parked job off its list, wherever in it; false when it is not there.
local function unpark(queue, id)
  local rules, rule = rules_of(queue, id)
  if not rule then return false end
  local identity = identity_of(rule)
  call('LREM', park_of(queue, identity), 1, id)
  call('HDEL', P .. 'parkrules:' .. queue, id)
  set_slot(queue, identity)
  return true
end

-- The first parked job of a queue whose slots are free, with its slots taken; nil: none.
local function grab_parked(queue)
  local slots = P .. 'parked:' .. queue
  for _ = 1, TRIED do
    local identity = call('ZRANGE', slots, '-inf', stamp, 'BYSCORE', 'LIMIT', 0, 1)[1]
    if not identity then return nil end
    local id = call('LINDEX', park_of(queue, identity), 0)
    local admitted = id and take(rules_of(queue, id)) == 0
    if admitted then
      call('LPOP', park_of(queue, identity))
      call('HDEL', P .. 'parkrules:' .. queue, id)
    end
    set_slot(queue, identity)
    if admitted then return id end
  end
  return nil
end
