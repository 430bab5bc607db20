#!lua flags=allow-oom
-- Settle what is finished, then claim. This is the hot path.
-- Parts: base, wake_tokens, gates, gate_slots, ties, settle_done, queue_arguments, fast_path,
--        unpaused, many_queues, ready, delayed, bodies, holds, window_opening, limit_windows,
--        parked_jobs, claims, settling.
--
-- ARGV: worker, request, want, the last number that `settle` has returned to the worker (0: none),
--       queues as in part `queue_arguments`, then settlements as in parts `settle_done` and
--       `settling`.
-- Reply: {1} if the worker is not registered, or if the store has lost its last changes.
--        {2, last} if the request is lower than the last one. Else {0, stale ids, groups, now}. A
--        group is {queue, index of its first claim, how (0: plain, 1: admitted, 2: to be reviewed, 3: admitted by
--        a gate),
--        ids, bodies, states}. A missing body or state is nil. Without any, `states` is empty.
-- A request equal to the last one changes nothing, and returns those of its claims still held.

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

local granted, since = false, nil

local function has_expired(id)
  local state = any_states() and call('HGET', STATES, id)
  local at = state and tonumber(string.match(state, '^%d+ %d+ %d+ %d+ (%d+)\n'))
  return at and at <= now
end

-- Claim a parked job, the head of a line to be reviewed or, if there is none, of one with a slot.
local function claim_parked(queue)
  local identity, id, how
  if call('EXISTS', P .. 'marked:' .. queue) == 1 then
    since = since or registered_at(worker)
    identity, id = take_marked(queue, since)
    how = 'r'
  end
  if not identity then
    local name = ARGV[2] .. ' ' .. index .. ' '
    identity, id, how = take_parked(queue, {ARGV[1], name}, has_expired)
  end
  if not identity then return end
  granted = true
  claim(queue, how, {id})
  leave_line(queue, identity, id)
end

-- Return released jobs to the queue, and claim a parked job if this step has not claimed one yet.
-- Returns whether the queue may have more of these jobs.
local function claim_first(queue)
  local lines = P .. 'lines:' .. queue
  if call('EXISTS', lines) == 0 then return false end
  release_due(queue)
  if not granted then claim_parked(queue) end
  return call('EXISTS', P .. 'marked:' .. queue) == 1
    or #call('ZRANGE', lines, '-inf', stamp, 'BYSCORE', 'LIMIT', 0, 1) > 0
end

simple = false
if all_queues and want > 0 then
  activate_due()
  queues = call('ZRANGE', ACTIVE, 0, FEW_QUEUES)
  many = #queues > FEW_QUEUES
end

if many then
  local good, problem = pcall(claim_many, claim_first)
  return finish_many(good, problem)
end

local open, shut = split_paused(queues)
if all_queues then
  if #shut > 0 then call('ZREM', ACTIVE, unpack(shut)) end
  local found = {}
  for i = 1, #open do found[i] = open[(i - 1 + turn) % #open + 1] end
  open = found
  if #open > 1 then
    fields[#fields + 1] = '#turn'
    fields[#fields + 1] = turn + 1
  end
end
local good, problem = pcall(claim_each, open, claim_first)
return finish_step(open, good, problem)
