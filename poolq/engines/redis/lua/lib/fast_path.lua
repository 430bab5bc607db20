-- Part `fast_path`, only in `step` (needs `effects`, `settle_done`, `wake_tokens`, `queue_arguments`):
-- what every step does. If jobs are only ready or delayed, and all settled jobs are done, the script
-- ends here. To create the functions of the following parts would take longer than the step: plain
-- jobs that are claimed one by one would cost half as much CPU of client and server again.

-- NAMES_AT_ONCE: how many names of queues are read at once. FEW_QUEUES: up to this many queues stay
-- in `active` even if they are empty, because it would cost more to remove and add them again.
-- MAX_EMPTY: one step visits at most this many queues more than it wants jobs.
local NAMES_AT_ONCE, FEW_QUEUES, MAX_EMPTY = 32, 8, 250

local worker, request, want = P .. 'worker:' .. ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local all_queues = ARGV[4] == '-1'
local queues, at = queues_at(4)
local first, last_id = 0, -1
if ARGV[at] ~= '0' then first, last_id = ids_of_run(at + 1) end
local stored = call('HMGET', worker, '#request', '#cursor', unpack(ARGV, first, last_id))
local last, cursor = tonumber(stored[1] or nil), stored[2] or ''
if last == nil then return {1} end
if request < last then return {2, last} end
-- A failover has lost the last steps of this worker. Its claims here may include settled ones,
-- which nobody would settle again. So the worker must leave, and recovery returns its claims.
if request > math.max(0, last) + 1 then return {1} end

local simple, stale, groups, index = true, {}, {}, 0
-- How many queues were asked, and which of them are now empty.
local asked, empty = 0, {}

-- The active queues that come next in turn: all if they are few, otherwise up to `n`.
local function next_queues(n)
  local names = call('ZRANGE', ACTIVE, 0, FEW_QUEUES)
  if #names < 2 then return names end
  if #names > FEW_QUEUES then
    names = call('ZRANGE', ACTIVE, '(' .. cursor, '+', 'BYLEX', 'LIMIT', 0, n)
    return #names > 0 and names or call('ZRANGE', ACTIVE, 0, n - 1)
  end
  local turned, before = {}, {}
  for _, queue in ipairs(names) do
    local part = queue > cursor and turned or before
    part[#part + 1] = queue
  end
  for _, queue in ipairs(before) do turned[#turned + 1] = queue end
  return turned
end

-- Check with one command for what is usually absent. Returns true if no queue is paused, no job is
-- in a line, was returned or has left a list, and no queue outside `active` has jobs that have become due.
local function check_simple(names)
  if #names > 1000 then return false end
  local keys = {STATES, GATED, P .. 'paused', LATER}
  for i, queue in ipairs(names) do
    local k = 3 * i + 2
    keys[k], keys[k + 1], keys[k + 2] = P .. 'back:' .. queue, P .. 'lines:' .. queue, P .. 'gone:' .. queue
  end
  local found = call('EXISTS', unpack(keys))
  if found == 0 then
    has_states, any_gated = false, false
    return true
  end
  check_states()
  local later = call('ZRANGE', LATER, 0, 0, 'WITHSCORES')
  if all_queues and later[2] and tonumber(later[2]) <= now then return false end
  local rare = (has_states and 1 or 0) + (any_gated and 1 or 0)
  return found == rare + (later[2] and 1 or 0)
end

if want == 0 then
  queues = {}
elseif request > last then
  if all_queues then queues = next_queues(NAMES_AT_ONCE) end
  simple = check_simple(queues)
end
if request > last then at = settle_runs(worker, at, stale, stored, 2) end
simple = simple and want >= 0 and ARGV[at] == '0'

local function read_bodies(ids)
  local found, guess = {}, bodies_of(ids[1])
  if guess == bodies_of(ids[#ids]) then  -- this hash usually contains all bodies
    found = call('HMGET', guess, unpack(ids))
    local good = 1
    while found[good] do good = good + 1 end
    if good > #ids then return found end
  end
  each_hash(ids, 1, #ids, function(hash, from, to)
    local some = call('HMGET', hash, unpack(ids, from, to))
    for k = from, to do found[k] = some[k - from + 1] end
  end)
  return found
end

local HOW_CODES = {['0'] = 0, r = 2, g = 3}

local function add_group(queue, first, how, ids, bodies)
  local states = {}
  if any_states() then states = call('HMGET', STATES, unpack(ids)) end
  groups[#groups + 1] = {queue, first, HOW_CODES[how] or 1, ids, bodies, states}
end

-- The fields to write to the worker's hash, all at once.
local fields = {'#request', ARGV[2]}

-- Claiming stops once the bodies exceed this, as in poolq/engines/base.py.
local CLAIM_BYTES = 4 * 2 ^ 20
-- How many jobs are read at first. Then the size of their bodies decides how many are read next.
local FIRST_CHUNK = 32
local bytes, chunk = 0, FIRST_CHUNK

-- Claim these jobs, as far as CLAIM_BYTES allows; returns how many. `how`: as in a claim's field.
local function claim(queue, how, ids)
  local head, tail = ARGV[2] .. ' ', ' ' .. how .. ' ' .. stamp .. ' ' .. queue
  local bodies, taken = read_bodies(ids), 0
  repeat
    taken = taken + 1
    bytes = bytes + #(bodies[taken] or '')
  until taken == #ids or bytes > CLAIM_BYTES
  if taken < #ids then ids, bodies = {unpack(ids, 1, taken)}, {unpack(bodies, 1, taken)} end
  add_group(queue, index, how, ids, bodies)
  if #fields > 2000 then
    call('HSET', worker, unpack(fields))
    fields = {'#request', ARGV[2]}
  end
  local n = #fields
  for k = 1, #ids do
    fields[n + 2 * k - 1], fields[n + 2 * k] = ids[k], head .. (index + k - 1) .. tail
  end
  index = index + taken
  if bytes > CLAIM_BYTES then want = index end
  local like_these = math.ceil((CLAIM_BYTES - bytes) * index / math.max(bytes, 1))
  chunk = math.max(1, math.min(4 * chunk, like_these, 1000))
  return taken
end

-- Claim jobs that came back, and skip jobs that have left a list. Part `claiming` defines these.
local claim_returned, claim_listed

-- Claim from one queue until enough are claimed: jobs that came back and the list, then delayed
-- jobs that are due (without moving them to the list). Jobs are read before they are removed,
-- because a script that fails is not rolled back, and jobs that it had removed would be lost.
-- Returns true if the list may have more jobs, but the step has skipped too many gone ones.
local function claim_from(queue)
  local ready, delayed = P .. 'ready:' .. queue, P .. 'delayed:' .. queue
  while index < want do
    local most, before = math.min(want - index, chunk), index
    if not simple then most = claim_returned(queue, most) end
    if index == before then
      local ids = call('LRANGE', ready, 0, most - 1)
      if #ids > 0 and not simple then
        if not claim_listed(queue, ids) then return true end
      elseif #ids > 0 then
        call('LTRIM', ready, claim(queue, '0', ids), -1)
      else
        ids = call('ZRANGE', delayed, '-inf', stamp, 'BYSCORE', 'LIMIT', 0, most)
        if #ids == 0 then return end
        call('ZREM', delayed, unpack(ids, 1, claim(queue, '0', ids)))
      end
    end
  end
end

-- Claim from these queues in turn until enough are claimed. `first` claims the jobs that come
-- before all others of a queue. It returns whether the queue has more such jobs, and whether the
-- others must be left to the next step. For that step, this function leaves a token.
local function claim_each(names, first)
  for _, queue in ipairs(names) do
    if index == want then return end
    local more, stops = false, false
    if first then more, stops = first(queue) end
    stops = stops or claim_from(queue)
    if stops then wake(queue, 1) end
    more = more or stops
    asked, cursor = asked + 1, queue
    if stops and not all_queues then return end  -- its jobs come before those of later queues
    if index < want and not more then empty[#empty + 1] = queue end
  end
end

-- Claim from all queues in turn. If `first` is nil, stop and return false once a queue needs it.
local function claim_in_turn(first, split_paused)
  while true do
    local names, shut = queues, {}
    if first then queues, shut = split_paused(names) elseif not simple then return false end
    claim_each(queues, first)
    for _, queue in ipairs(shut) do empty[#empty + 1] = queue end
    if not all_queues or index == want then return true end
    asked, cursor = asked + #shut, names[#names] or cursor
    local left = math.min(call('ZCARD', ACTIVE), want + MAX_EMPTY) - asked
    if left <= 0 then return true end
    queues = next_queues(math.min(left, NAMES_AT_ONCE))
    simple = not first and check_simple(queues)
  end
end

-- Leave a token for the remaining jobs of a queue; returns false if there are none.
local function announce_rest(queue)
  local more = call('LLEN', P .. 'ready:' .. queue)
  if not simple then more = more - call('HLEN', P .. 'gone:' .. queue) end
  if more == 0 then more = call('ZCOUNT', P .. 'delayed:' .. queue, '-inf', stamp) end
  if more == 0 and not simple then
    more = call('ZCARD', P .. 'back:' .. queue)
      + call('ZCOUNT', P .. 'lines:' .. queue, '-inf', stamp)
  end
  if more > 0 then wake(queue, more) end
  return more > 0
end

-- Leave a token if there are more jobs than were claimed.
local function announce_more()
  local names = queues
  if all_queues then
    if call('EXISTS', WAKE) == 1 then return end
    names = call('ZRANGE', ACTIVE, 0, FEW_QUEUES)
    if #names > FEW_QUEUES then return call('RPUSH', WAKE, 1) end
  end
  for _, queue in ipairs(names) do
    if announce_rest(queue) then return end
  end
end

-- Save the claims and return the reply. Whatever may fail comes after the claims are saved.
-- `good`: whether claiming succeeded. `problem`: the error if it did not. Claims made before the
-- error are in the reply when the step is repeated.
local function finish_step(good, problem)
  if all_queues and cursor ~= stored[2] then fields[#fields + 1], fields[#fields + 2] = '#cursor', cursor end
  -- This field comes last, because an id that was written by hand may be '#request' too.
  fields[#fields + 1] = '#request'
  fields[#fields + 1] = ARGV[2]
  call('HSET', worker, unpack(fields))
  if #stale > 0 then
    call('HSET', worker, '#stale', ARGV[2] .. '\n' .. table.concat(stale, '\n'))
  end
  local find = string.find  -- and no `ipairs`: for each plain job, this is the costliest loop
  for _, group in ipairs(groups) do
    local ids, bodies = group[4], group[5]
    for k = 1, #ids do
      local body = bodies[k]
      if body and find(body, '\t', 1, true) then effects().start(ids[k], body) end
    end
  end
  if not good then error(problem) end
  if all_queues and #empty > 0 and call('ZCARD', ACTIVE) > FEW_QUEUES then
    for from = 1, #empty, 1000 do
      call('ZREM', ACTIVE, unpack(empty, from, math.min(from + 999, #empty)))
    end
  end
  if want > 0 and (index == want or asked >= want + MAX_EMPTY) then announce_more() end
  return {0, stale, groups, stamp}
end

-- Without this, plain jobs of 20 queues cost a seventh more CPU of client and server if they are
-- claimed one by one, and half as much again in full steps.
if simple and request > last then
  local good, done = pcall(claim_in_turn)
  -- If all queues seem empty, continue, because the clock may have gone back.
  local is_sure = index > 0 or not all_queues or want == 0 or call('EXISTS', P .. 'latest') == 0
  if not good or (done and is_sure) then return finish_step(good, done) end
end
