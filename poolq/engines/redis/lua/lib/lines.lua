-- Part `lines` (needs `tokens`, `ready`, `bodies`, `windows`): jobs that wait off the queue for a limit.
--
-- A parked job waits in the line of the rule that refused it, a line being a queue and an identity.
-- Its own rules are stored as "<refused> " and then "<limit> <window> <bytes>:<key>" for each rule;
-- `refused` is the position (from 1) of the rule in whose line it is. The line's limit is that which
-- was named last for it. A released job is held until its window ends.

-- Heads without a free slot that one step looks at.
local TRIED = 16
-- How many released jobs go back to their queue at a time.
local RELEASED_AT_ONCE = 1000
-- The member of lines:<queue> that stands for all released jobs: no identity, which begins with a digit.
local RELEASED = 'released'

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

local function line_of(queue, identity)
  return P .. 'line:' .. #queue .. ':' .. queue .. ':' .. identity
end

local function rules_of(queue, id)
  local text = call('HGET', P .. 'parkrules:' .. queue, id)
  if text then return rules_in(text) end
  return {}
end

-- The limit named last for a line; nil: there is no such line.
local function limit_of(queue, identity)
  return tonumber(call('HGET', P .. 'limits:' .. queue, identity) or nil)
end

-- When a limit has its next free slot.
local function slot_of(identity, limit)
  local length = tonumber(string.match(identity, '^%d+')) or 0  -- written by hand
  local start, used = window_of(identity, length)
  if start and used >= limit then return start + length end
  return now
end

-- The latest time of writing a moment, within a second.
local noted = false
local function note_clock()
  local seen = tonumber(call('GET', P .. 'latest') or nil)
  if not seen or now > seen + 1000000 then call('SET', P .. 'latest', stamp) end
  noted = true
end

-- Note when a member of lines:<queue> is to be looked at; whether that has changed.
local function set_moment(queue, member, moment)
  if not noted then note_clock() end
  call('SADD', P .. 'lined', queue)
  if moment > now then postpone(queue, moment) else activate(queue) end
  return call('ZADD', P .. 'lines:' .. queue, 'CH', digits(moment), member) == 1
end

local function drop_member(queue, member)
  call('ZREM', P .. 'lines:' .. queue, member)
  if call('EXISTS', P .. 'lines:' .. queue) == 1 then return end
  call('SREM', P .. 'lined', queue)
  if call('EXISTS', P .. 'lined') == 0 then call('DEL', P .. 'latest') end
end

-- Put a job into the line of one of its rules, at its place by due time. The line first, for a line
-- without jobs does no harm. Returns whether a keeper must look again.
local function join(queue, id, due, rule)
  local identity = identity_of(rule)
  local limit = limit_of(queue, identity) or rule.limit
  local changed = set_moment(queue, identity, slot_of(identity, limit))
  call('ZADD', line_of(queue, identity), digits(due), id)
  return changed
end

-- Note when the next job of a line may start; forget a line that has none.
local function set_slot(queue, identity)
  if call('EXISTS', line_of(queue, identity)) == 1 then
    set_moment(queue, identity, slot_of(identity, limit_of(queue, identity) or 1))
  else
    call('HDEL', P .. 'limits:' .. queue, identity)
    call('ZREM', P .. 'marked:' .. queue, identity)
    drop_member(queue, identity)
  end
end

local function leave_line(queue, identity, id)
  call('ZREM', line_of(queue, identity), id)
  call('HDEL', P .. 'parkrules:' .. queue, id)
  set_slot(queue, identity)
end

-- A limit is named for a line, if there is one; whether that has changed its next slot.
local function name_limit(queue, rule)
  local identity = identity_of(rule)
  if call('EXISTS', line_of(queue, identity)) == 0 then return false end
  call('HSET', P .. 'limits:' .. queue, identity, digits(rule.limit))
  return set_moment(queue, identity, slot_of(identity, rule.limit))
end

-- A line that was marked no later than `since` has been asked about.
local function unmark(queue, identity, since)
  local mark = call('ZSCORE', P .. 'marked:' .. queue, identity)
  if mark and tonumber(mark) <= since then call('ZREM', P .. 'marked:' .. queue, identity) end
end

-- Take a parked job out of its line; false when it is in none.
local function unpark(queue, id)
  local rules, rule = rules_of(queue, id)
  if not rule then return false end
  leave_line(queue, identity_of(rule), id)
  return true
end

-- The head of a line to a line of another of its rules, which holds it back.
local function move(queue, id, identity, rules, at)
  local _, due = origin_of(id)
  local text = call('HGET', P .. 'parkrules:' .. queue, id)
  local rule = rules[at]
  call('HSETNX', P .. 'limits:' .. queue, identity_of(rule), digits(rule.limit))
  call('HSET', P .. 'parkrules:' .. queue, id, at .. string.match(text, '^%d+(.*)$'))
  join(queue, id, due or 0, rule)
  call('ZREM', line_of(queue, identity), id)
  set_slot(queue, identity)
end

-- The line whose head may start, its id, and the span for which its slots, now taken, count; nil: none.
local function grab_parked(queue)
  local lines = P .. 'lines:' .. queue
  for _ = 1, TRIED do
    local identity = call('ZRANGE', lines, '-inf', stamp, 'BYSCORE', 'LIMIT', 0, 1)[1]
    if not identity or identity == RELEASED then return nil end
    local id = call('ZRANGE', line_of(queue, identity), 0, 0)[1]
    if not id then
      set_slot(queue, identity)
    else
      local rules, own = rules_of(queue, id)
      if not own then return identity, id, '0' end  -- written by hand
      -- All as they were named last: one by which a line has a slot must not refuse it with another.
      for _, rule in ipairs(rules) do
        rule.limit = limit_of(queue, identity_of(rule)) or rule.limit
      end
      local wait, at = take(rules)
      if wait == 0 then return identity, id, span_of(rules) end
      if rules[at] == own then
        set_moment(queue, identity, now + wait)
      else
        move(queue, id, identity, rules, at)
      end
    end
  end
  return nil
end

-- The first line, and its head, that a worker of that age has to ask for its limits.
local function grab_marked(queue, since)
  local marked = P .. 'marked:' .. queue
  while true do
    local identity = call('ZRANGE', marked, '-inf', digits(since), 'BYSCORE', 'LIMIT', 0, 1)[1]
    if not identity then return nil end
    local id = call('ZRANGE', line_of(queue, identity), 0, 0)[1]
    if id then return identity, id end
    set_slot(queue, identity)
  end
end

-- Released jobs: held:<queue> says until when, heldby:<queue> for which limit.

local function count_released(queue, rule, by)
  local released = P .. 'released:' .. queue
  local left = redis.pcall('HINCRBY', released, rule, by)
  if type(left) ~= 'number' or left <= 0 then call('HDEL', released, rule) end  -- written by hand
end

-- Note when the next released job is due again; whether that has changed.
local function set_release(queue)
  local head = call('ZRANGE', P .. 'held:' .. queue, 0, 0, 'WITHSCORES')
  if head[2] then return set_moment(queue, RELEASED, tonumber(head[2])) end
  drop_member(queue, RELEASED)
  return false
end

-- `rule`: "<limit> <window>:<key>".
local function hold(queue, id, due, moment, rule)
  call('HSET', P .. 'heldby:' .. queue, id, digits(due) .. ' ' .. rule)
  call('ZADD', P .. 'held:' .. queue, digits(moment), id)
  count_released(queue, rule, 1)
  return set_release(queue)
end

-- These ids are held no longer.
local function unhold(queue, ids)
  local counts = {}
  for _, by in ipairs(call('HMGET', P .. 'heldby:' .. queue, unpack(ids))) do
    local rule = by and string.match(by, '^%d+ (.*)$')
    if rule then counts[rule] = (counts[rule] or 0) + 1 end
  end
  call('HDEL', P .. 'heldby:' .. queue, unpack(ids))
  for rule, n in pairs(counts) do count_released(queue, rule, -n) end
end

-- Take a released job away; false when it is none.
local function unrelease(queue, id)
  if call('ZREM', P .. 'held:' .. queue, id) == 0 then return false end
  unhold(queue, {id})
  set_release(queue)
  return true
end

-- Released jobs whose windows have ended go back to their place; how many.
local function release_due(queue)
  local held, n = P .. 'held:' .. queue, 0
  repeat
    local ids = call('ZRANGE', held, '-inf', stamp, 'BYSCORE', 'LIMIT', 0, RELEASED_AT_ONCE)
    if #ids > 0 then
      local by, scored = call('HMGET', P .. 'heldby:' .. queue, unpack(ids)), {}
      for i, id in ipairs(ids) do
        scored[2 * i - 1], scored[2 * i] = string.match(by[i] or '', '^%d+') or '0', id
      end
      activate(queue)
      call('ZADD', P .. 'back:' .. queue, unpack(scored))
      call('ZREM', held, unpack(ids))
      unhold(queue, ids)
      n = n + #ids
    end
  until #ids < RELEASED_AT_ONCE
  if n > 0 then set_release(queue) end
  return n
end

-- The clock

-- The moments that lie ahead were written down before the clock went back: those of lines are worked
-- out anew, and those of released jobs that lie further ahead than windows are long have come.
local function revise(queue)
  local lines, held = P .. 'lines:' .. queue, P .. 'held:' .. queue
  local all = call('ZRANGE', lines, 0, -1, 'WITHSCORES')
  for i = 1, #all, 2 do
    if all[i] ~= RELEASED and tonumber(all[i + 1]) > now then
      call('ZADD', lines, digits(slot_of(all[i], limit_of(queue, all[i]) or 1)), all[i])
    end
  end
  local jobs = call('ZRANGE', held, 0, -1, 'WITHSCORES')
  for i = 1, #jobs, 2 do
    local by = call('HGET', P .. 'heldby:' .. queue, jobs[i])
    local length = tonumber(string.match(by or '', '^%d+ %d+ (%d+):') or 0)
    -- A release may be put off by the window's length once more, by jitter.
    if tonumber(jobs[i + 1]) > now + 2 * length then call('ZADD', held, stamp, jobs[i]) end
  end
  if #jobs > 0 then set_release(queue) end
  activate(queue)
  wake(queue, 0)
end

-- Notice a clock that has gone back.
local function heed_clock()
  local seen = tonumber(call('GET', P .. 'latest') or nil)
  if not seen or now >= seen then return end
  call('SET', P .. 'latest', stamp)
  for _, queue in ipairs(call('SMEMBERS', P .. 'lined')) do revise(queue) end
end
