#!lua flags=allow-oom
-- Settle what is finished, then claim. This is the hot path.
-- Parts: fast_path, claiming, unpaused, clock_jumps, settling.
--
-- ARGV: worker, request, want (-1: the head of a line whose limit older code has named), queues as
--       for `queue_arguments`, then settlements as in parts `settle_done` and `settling`.
-- Reply: {1} if the worker is not registered, or if the store has lost its last changes.
--        {2, last} if the request is lower than the last one. Else {0, stale ids, groups, now}. A
--        group is {queue, index of its first claim, how (0: plain, 1: admitted, 2: to ask for a
--        start, 3: admitted by a gate), ids, bodies, states}. A missing body or state is nil.
--        `states` is empty if no job has a state.
-- A request equal to the last one changes nothing, and returns its claims that are still held.

local function claims_of_request()
  local found, all = {}, call('HGETALL', worker)
  for i = 1, #all, 2 do
    local number, place, how, queue =
      string.match(all[i + 1], '^(%d+) (%d+) ([^ ]+) %d+ (.*)$')
    if string.sub(all[i], 1, 1) ~= '#' and tonumber(number) == request then
      how = string.match(how, '^c%d+/(.*)$') or how  -- if it is cancelled
      found[#found + 1] = {tonumber(place), how, queue, all[i]}
    end
  end
  table.sort(found, function(a, b) return a[1] < b[1] end)
  return found
end

if request == last then
  local found = claims_of_request()
  for _, claim in ipairs(found) do
    add_group(claim[3], claim[1], claim[2], {claim[4]}, read_bodies({claim[4]}))
  end
  local number, ids = string.match(call('HGET', worker, '#stale') or '', '^(%d+)\n(.*)$')
  if tonumber(number) == request then
    for id in string.gmatch(ids, '[^\n]+') do stale[#stale + 1] = id end
  end
  return {0, stale, groups, stamp}
end

check_clock()
settle_others(worker, at, stale)

-- How many jobs of a line one step takes at most.
local MAX_GRANTED = 50

local granted, deploy = false, nil

local function has_expired(id)
  local state = any_states() and call('HGET', STATES, id)
  local at = state and tonumber(string.match(state, '^%d+ %d+ %d+ %d+ (%d+)\n'))
  return at and at <= now
end

-- The worker and the name of the claim that is made next.
local function next_claim()
  return ARGV[1], ARGV[2] .. ' ' .. index .. ' '
end

-- The earliest due time of a queue's jobs that are ready and in no line; nil if there is none.
local function oldest_of(queue)
  local back = call('ZRANGE', P .. 'back:' .. queue, 0, 0, 'WITHSCORES')[2]
  local head, due = head_of_list(queue), nil
  if head then
    local _, its = origin_of(head)
    due = its or 0  -- if its body is lost
  else
    due = tonumber(call('ZRANGE', P .. 'delayed:' .. queue, '-inf', stamp, 'BYSCORE', 'LIMIT', 0, 1,
      'WITHSCORES')[2])
  end
  back = tonumber(back)
  return due and back and math.min(due, back) or due or back
end

-- Claim the jobs of a queue that were due before `due` and are in no line. Returns whether it has
-- claimed some and the step may claim more.
local function claim_older(queue, due)
  local all, start, before = want, index, '(' .. digits(due)
  local ready, delayed = P .. 'ready:' .. queue, P .. 'delayed:' .. queue
  local n = call('ZCOUNT', P .. 'back:' .. queue, '-inf', before) + count_before(queue, due, '', want - index)
  if n == 0 and call('EXISTS', ready) == 0 then
    n = call('ZCOUNT', delayed, '-inf', '(' .. digits(math.min(due, now + 1)))
  end
  if n == 0 then return false end
  want = math.min(want, index + n)
  if claim_from(queue) or bytes > CLAIM_BYTES then return false end
  want = all
  return start < index and index < want
end

-- Claim parked jobs of one line that get slots, or heads of lines that must ask for a start.
local function claim_parked(queue)
  local asked, oldest = {}, oldest_of(queue)
  local identity, id, how
  deploy = deploy or deploy_of(worker)
  repeat
    identity, id, how = take_parked(queue, next_claim, has_expired, oldest, deploy)
    if not identity or asked[identity] then return end
    granted, asked[identity] = true, true
    local last = math.min(want, index + MAX_GRANTED)
    while id do
      claim(queue, how, {id})
      leave_line(queue, identity, id)
      id = nil
      if how ~= 'r' and index < math.min(last, want) and is_due(queue, identity) then
        id, how = take_head(queue, identity, next_claim, has_expired, oldest, deploy, true)
      end
    end
  until how ~= 'r' or index == want
end

-- Claim the head of a line whose limit was named by older code than the worker's.
local function claim_old()
  want, deploy = 1, deploy_of(worker)
  for _, queue in ipairs((split_paused(all_queues and call('SMEMBERS', P .. 'lined') or queues))) do
    local identity, id = take_old(queue, deploy)
    if identity then
      claim(queue, 'r', {id})
      leave_line(queue, identity, id)
      return
    end
  end
end

-- Return released jobs to the queue. Claim parked jobs if this step has not claimed any yet, after
-- the jobs that were due before them. Returns whether the queue may have more parked jobs, and
-- whether its other jobs must be left to the next step, because a parked job comes before them.
local function claim_first(queue)
  if call('EXISTS', P .. 'lines:' .. queue) == 0 then return false end
  release_due(queue, want - index)
  local due
  repeat
    if not granted then claim_parked(queue) end
    due = first_parked(queue)
  until not due or index == want or not claim_older(queue, due)
  return due ~= nil, due ~= nil
end

simple = false
if want < 0 then
  return finish_step(pcall(claim_old))
end
if all_queues and want > 0 then
  activate_due()
  queues, asked, empty = next_queues(NAMES_AT_ONCE), 0, {}
end
return finish_step(pcall(claim_in_turn, claim_first, split_paused))
