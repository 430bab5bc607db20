-- Part `parked_jobs` (needs `wake_tokens`, `ready`, `delayed`, `bodies`, `holds`, `limit_windows`,
-- `gates`): jobs that wait for a limit, outside of their queue.
--
-- A parked job waits in the line of the rule that refused it. A line belongs to a queue and an
-- identity. The job's rules are stored as "<refused> <deploy>", then "\n<limit> <window> <key>" for
-- each rule, with limit and window as for `rule_of`. The job is in the line of the rule at position
-- `refused` (from 1), and code of that deploy has named the limits. A line applies the limit that
-- the newest code has named for it. A released job is held until the limit's window ends.

-- MAX_HEADS: `take_parked` examines at most this many due lines. MAX_LATER: it passes over at most
-- this many of them for older jobs.
local MAX_HEADS, MAX_LATER = 100, 16
-- The member of lines:<queue> for all released jobs. Identities differ, as they begin with a digit or "-".
local RELEASED = 'released'

local function parse_rules(text)
  local rules = {}
  local refused, deploy, lines = string.match(text, '^(%d+) (%d+)(.*)$')
  for line in string.gmatch(lines or '', '\n([^\n]+)') do
    local limit, window, key = string.match(line, '^(%d+%*?%d*) (%-?%d+) (.*)$')
    local rule = limit and rule_of(limit, window, key)
    local is_known = rule
      and (rule.window == GATE_WINDOW or rule.window == HOLD_WINDOW or now + rule.window <= FURTHEST)
    if not is_known or not rule.limit or rule.window == 0 then break end  -- no code can have declared it
    rules[#rules + 1] = rule
  end
  return rules, rules[tonumber(refused or 0)], tonumber(deploy or 0)
end

-- The key of a gate; nil if this is the identity of a window.
local function gate_of(identity)
  if string.sub(identity, 1, #GATE_PREFIX) ~= GATE_PREFIX then return nil end
  return string.sub(identity, #GATE_PREFIX + 1)
end

local function has_gates(rules)
  for _, rule in ipairs(rules) do
    if rule.window == GATE_WINDOW then return true end
  end
  return false
end

-- The rules that are no gates, each with its position.
local function windows_of(rules)
  local windows, places = {}, {}
  for i, rule in ipairs(rules) do
    if rule.window ~= GATE_WINDOW then
      windows[#windows + 1], places[#places + 1] = rule, i
    end
  end
  return windows, places
end

local function line_key(queue, identity)
  return P .. 'line:' .. #queue .. ':' .. queue .. ':' .. identity
end

-- The member of keys:<queue> for a line.
local function name_by_key(identity)
  return (string.match(identity, '^%-?%d+:(.*)$') or '') .. '\n' .. identity
end

-- The members of keys:<queue> for the lines of a key lie between these.
local function bounds_of(key)
  return '[' .. key .. '\n', '(' .. key .. '\v'
end

local function rules_of(queue, id)
  local text = call('HGET', P .. 'parkrules:' .. queue, id)
  if text then return parse_rules(text) end
  return {}
end

-- The limit named for a line; nil if there is no such line.
local function limit_of(queue, identity)
  return tonumber(call('HGET', P .. 'limits:' .. queue, identity) or nil)
end

-- The deploy whose code has named a line's limit; 0 if unknown.
local function named_by(queue, identity)
  return tonumber(call('ZSCORE', P .. 'codes:' .. queue, identity) or nil) or 0
end

-- Name a line's limit, unless newer code has named it.
local function name_line(queue, identity, limit, deploy)
  if named_by(queue, identity) > deploy then return end
  call('ZADD', P .. 'codes:' .. queue, digits(deploy), identity)
  call('HSET', P .. 'limits:' .. queue, identity, digits(limit))
end

-- When a limit has its next free slot, or when the hold of its key ends if that is later.
local function next_slot(identity, limit)
  local gate = gate_of(identity)
  if gate then return gates().has_room(gate, gates().named(gate) or limit) and now or NEVER end
  local length, key = string.match(identity, '^%-?(%d+):(.*)$')
  length = tonumber(length) or 0  -- written by hand
  local start, used, _, set = window_of(identity, length)
  local free = start and used >= (set or limit) and start + length or now
  return math.max(free, hold_end(key or ''))
end

-- Store when a member of lines:<queue> must be examined. Returns whether this time has changed.
local function schedule(queue, member, moment)
  note_clock()
  call('SADD', P .. 'lined', queue)
  if moment <= now then activate(queue) elseif moment < NEVER then postpone(queue, moment) end
  return call('ZADD', P .. 'lines:' .. queue, 'CH', digits(moment), member) == 1
end

local function unschedule(queue, member)
  call('ZREM', P .. 'lines:' .. queue, member)
  if call('EXISTS', P .. 'lines:' .. queue) == 1 then return end
  call('SREM', P .. 'lined', queue)
  if call('EXISTS', P .. 'lined') == 0 then call('DEL', P .. 'latest') end
end

-- Whether a line is to be examined now.
local function is_due(queue, identity)
  local moment = call('ZSCORE', P .. 'lines:' .. queue, identity)
  return moment and tonumber(moment) <= now
end

-- Put a job into the line of one of its rules, sorted by due time. The line is scheduled first: if
-- the script then stops, a line without jobs does no harm. Returns whether a keeper must poll again.
local function join_line(queue, id, due, rule)
  local identity = identity_of(rule)
  local limit = limit_of(queue, identity) or rule.limit
  local gate, changed = gate_of(identity), false
  if gate then
    call('SADD', P .. 'gatequeues:' .. gate, queue)
    if not gates().named(gate) then gates().name(gate, limit, 0, 0) end
  end
  -- If the line of a gate is due already, it keeps its turn.
  if not (gate and is_due(queue, identity)) then
    changed = schedule(queue, identity, next_slot(identity, limit))
  end
  call('ZADD', P .. 'keys:' .. queue, 0, name_by_key(identity))
  call('ZADD', line_key(queue, identity), digits(due), id)
  return changed
end

-- Store when the next job of a line may start, or forget the line if it is empty.
local function update_line(queue, identity)
  if call('EXISTS', line_key(queue, identity)) == 1 then
    schedule(queue, identity, next_slot(identity, limit_of(queue, identity) or 1))
  else
    call('HDEL', P .. 'limits:' .. queue, identity)
    call('ZREM', P .. 'codes:' .. queue, identity)
    call('ZREM', P .. 'keys:' .. queue, name_by_key(identity))
    unschedule(queue, identity)
    local gate = gate_of(identity)
    if gate then call('SREM', P .. 'gatequeues:' .. gate, queue) end
  end
end

local function leave_line(queue, identity, id)
  call('ZREM', line_key(queue, identity), id)
  call('HDEL', P .. 'parkrules:' .. queue, id)
  update_line(queue, identity)
end

-- Name the limit of a line, if the line exists. Returns whether this has changed its next slot.
local function set_limit(queue, rule, deploy)
  local identity = identity_of(rule)
  if call('EXISTS', line_key(queue, identity)) == 0 then return false end
  name_line(queue, identity, rule.limit, deploy)
  return schedule(queue, identity, next_slot(identity, limit_of(queue, identity)))
end

-- Take a parked job out of its line. Returns false if it is in none.
local function unpark(queue, id)
  local rules, rule = rules_of(queue, id)
  if not rule then return false end
  leave_line(queue, identity_of(rule), id)
  return true
end

-- Move the head of a line to the line of its rule at position `at`, which refuses it.
local function move_to_line(queue, id, identity, rules, at)
  local _, due = origin_of(id)
  local text = call('HGET', P .. 'parkrules:' .. queue, id)
  local rule = rules[at]
  if not limit_of(queue, identity_of(rule)) then
    name_line(queue, identity_of(rule), rule.limit, tonumber(string.match(text, '^%d+ (%d+)') or 0))
  end
  call('HSET', P .. 'parkrules:' .. queue, id, at .. string.match(text, '^%d+(.*)$'))
  join_line(queue, id, due or 0, rule)
  call('ZREM', line_key(queue, identity), id)
  update_line(queue, identity)
end

-- Put a job into the line of a hold. Returns whether a keeper must poll again.
local function join_hold(queue, id, key)
  local _, due = origin_of(id)
  local text = '1 0\n1 ' .. digits(HOLD_WINDOW) .. ' ' .. key
  call('HSET', P .. 'parkrules:' .. queue, id, text)
  return join_line(queue, id, due or 0, hold_rule(key))
end

-- Let the head of a line wait for a hold. It stays if the line is a window's with the held key.
-- Otherwise it moves to the line of the rule with the held key or, if that rule is a gate, to the
-- hold's own line, because a gate's line is due while the gate has room.
local function wait_for_hold(queue, id, identity, rules, at, rest)
  local key = rules[at].key
  if not gate_of(identity) and string.match(identity, '^%-?%d+:(.*)$') == key then
    schedule(queue, identity, now + rest)
  elseif rules[at].window == GATE_WINDOW then
    join_hold(queue, id, key)
    call('ZREM', line_key(queue, identity), id)
    update_line(queue, identity)
  else
    move_to_line(queue, id, identity, rules, at)
  end
end

-- Take a start of each window and a slot of each gate, or nothing. Returns how long to wait, and the
-- position of the rule that refuses. `claim` returns the worker and the name of the next claim.
local function take_all(rules, id, claim)
  local at = gates().refusing(rules, id)
  if at > 0 then return NEVER - now, at end
  local windows, places = windows_of(rules)
  local wait = 0
  if #windows > 0 then wait, at = take_starts(windows) end
  if wait == 0 then gates().enter(rules, id, claim()) end
  return wait, places[at]
end

local function slides(rules)
  for _, rule in ipairs(rules) do
    if rule.sliding then return true end
  end
  return false
end

-- Take slots for the head of a line that is due. Returns the job's id, and how it is claimed:
-- - "g": it has slots of gates
-- - "0": it needs no slot, because it has expired, its hold has ended, or its rules are unreadable
-- - "r": code older than `deploy` has named its limits, so the worker's code must name them again
-- - else the span in which its slots count
-- Returns nil if the head may not start; then also whether to pass over the line, because it is
-- that of released jobs or its head was due after `oldest`, the due time of the queue's first other
-- job. `claim`: as in `take_all`. `again`: whether the step has taken another job of this line. If
-- so, the head stays if it needs slots that would be lost when the job is given back: slots of
-- gates, and starts in sliding windows.
local function take_head(queue, identity, claim, has_expired, oldest, deploy, again)
  local id, due = unpack(call('ZRANGE', line_key(queue, identity), 0, 0, 'WITHSCORES'))
  if identity == RELEASED then return nil, true end
  if not id then
    update_line(queue, identity)
    return nil
  end
  if oldest and tonumber(due) > oldest then return nil, true end
  local rules, own, stamped = rules_of(queue, id)
  if not own or has_expired(id) then return id, '0' end  -- no rules: written by hand
  -- The job of a hold's own line asks its code for its limits when it starts.
  if own.window == HOLD_WINDOW and hold_end(own.key) == 0 then return id, '0' end
  local is_old = named_by(queue, identity) < deploy or (#rules > 1 and stamped < deploy)
  if is_old and own.window ~= HOLD_WINDOW then return id, 'r' end
  local gated = has_gates(rules)
  if again and (gated or slides(rules)) then return nil end
  -- Apply the limits that were last named for the lines. The older limits stored with the job
  -- might refuse it a slot that its line has by the newer limit.
  for _, rule in ipairs(rules) do
    rule.limit = limit_of(queue, identity_of(rule)) or rule.limit
  end
  local held_for, at = check_holds(rules)
  if held_for > 0 then
    wait_for_hold(queue, id, identity, rules, at, held_for)
    return nil
  end
  local wait
  if gated then wait, at = take_all(rules, id, claim) else wait, at = take_starts(rules) end
  if wait == 0 then return id, gated and 'g' or span_of(rules) end
  if rules[at] == own then
    schedule(queue, identity, now + wait)
  else
    move_to_line(queue, id, identity, rules, at)
  end
  return nil
end

-- Take slots for the head of the first line whose head may start. Returns the line's identity, then the same
-- as `take_head`; nil if no head may start.
local function take_parked(queue, ...)
  local lines = P .. 'lines:' .. queue
  local later = 0
  for _ = 1, MAX_HEADS do
    local identity = call('ZRANGE', lines, '-inf', stamp, 'BYSCORE', 'LIMIT', later, 1)[1]
    if not identity or later == MAX_LATER then break end
    local id, how = take_head(queue, identity, ...)
    if id then return identity, id, how end
    if how then later = later + 1 end
  end
end

-- The earliest due time among the heads of the lines that are due; nil if no line is due.
local function first_parked(queue)
  local first
  local lines = call('ZRANGE', P .. 'lines:' .. queue, '-inf', stamp, 'BYSCORE', 'LIMIT', 0, MAX_LATER)
  for _, identity in ipairs(lines) do
    local due = tonumber(call('ZRANGE', line_key(queue, identity), 0, 0, 'WITHSCORES')[2])
    if due and due < (first or NEVER) then first = due end
  end
  return first
end

-- The identity and the head of a line whose limit was named by code older than `deploy`. The line
-- moves behind the other lines of this kind.
local function take_old(queue, deploy)
  local named = P .. 'codes:' .. queue
  while true do
    local identity = call('ZRANGE', named, '-inf', '(' .. digits(deploy), 'BYSCORE', 'LIMIT', 0, 1)[1]
    if not identity then return nil end
    local id = call('ZRANGE', line_key(queue, identity), 0, 0)[1]
    if id then
      call('ZADD', named, digits(deploy - 1), identity)
      return identity, id
    end
    update_line(queue, identity)
  end
end

-- For released jobs, held:<queue> contains the end of their wait, and heldby:<queue> the limit.

local function count_released(queue, rule, by)
  local released = P .. 'released:' .. queue
  local left = redis.pcall('HINCRBY', released, rule, by)
  if type(left) ~= 'number' or left <= 0 then call('HDEL', released, rule) end  -- written by hand
end

-- Store when the next released job is due again. Returns whether this time has changed.
local function update_release(queue)
  local head = call('ZRANGE', P .. 'held:' .. queue, 0, 0, 'WITHSCORES')
  if head[2] then return schedule(queue, RELEASED, tonumber(head[2])) end
  unschedule(queue, RELEASED)
  return false
end

-- `rule`: "<limit> <window>:<key>".
local function hold(queue, id, due, moment, rule)
  call('HSET', P .. 'heldby:' .. queue, id, digits(due) .. ' ' .. rule)
  call('ZADD', P .. 'held:' .. queue, digits(moment), id)
  count_released(queue, rule, 1)
  return update_release(queue)
end

-- Forget which limits held these ids.
local function unhold(queue, ids)
  local counts = {}
  for _, by in ipairs(call('HMGET', P .. 'heldby:' .. queue, unpack(ids))) do
    local rule = by and string.match(by, '^%d+ (.*)$')
    if rule then counts[rule] = (counts[rule] or 0) + 1 end
  end
  call('HDEL', P .. 'heldby:' .. queue, unpack(ids))
  for rule, n in pairs(counts) do count_released(queue, rule, -n) end
end

-- Remove a job from the released ones. Returns false if it is not released.
local function unrelease(queue, id)
  if call('ZREM', P .. 'held:' .. queue, id) == 0 then return false end
  unhold(queue, {id})
  update_release(queue)
  return true
end

-- At least this many released jobs are examined, because the jobs whose windows end first are not
-- always those that were due first.
local MIN_RELEASED = 16

-- Move the first `most` (up to 1000) released jobs whose windows have ended back to the head of the queue.
-- The others stay, so that `comes_too_early` sees them.
local function release_due(queue, most)
  local held, many = P .. 'held:' .. queue, math.min(math.max(most, MIN_RELEASED), 1000)
  local ids = call('ZRANGE', held, '-inf', stamp, 'BYSCORE', 'LIMIT', 0, many)
  most = math.min(most, #ids)
  if most < 1 then return end
  local due = {}
  for i, by in ipairs(call('HMGET', P .. 'heldby:' .. queue, unpack(ids))) do
    due[ids[i]] = tonumber(string.match(by or '', '^%d+')) or 0
  end
  table.sort(ids, function(a, b) return due[a] < due[b] or due[a] == due[b] and a < b end)
  local first = {unpack(ids, 1, most)}
  for _, id in ipairs(first) do call('ZADD', P .. 'back:' .. queue, digits(due[id]), id) end
  call('ZREM', held, unpack(first))
  unhold(queue, first)
  update_release(queue)
end
