#!lua flags=allow-oom
-- Settle what is finished, then claim: the hot path.
-- Parts: base, ready, limits, parking, queues, settling.
--
-- ARGV: worker, request, want (at most 1000), queues as part `queues` has them, then settlements
--       as part `settling` has them.
-- Reply: {1}: the worker is not registered. {2, last}: the request is lower than the last one.
--        {0, stale ids, microseconds until the next job is due (-1: none, or not asked), groups},
--        a group being {queue, index of its first, admitted (0 or 1), ids, bodies, states};
--        a body or state that is not there is nil, and `states` is empty when there are none.
-- A request equal to the last one changes nothing and gets what is left of its reply.

local worker, request, want = P .. 'worker:' .. ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local last = tonumber(call('HGET', worker, '#request') or nil)
if last == nil then return {1} end
if request < last then return {2, last} end

local queues, at = queues_at(4)
local groups, claimed, index = {}, {}, 0

local function add_group(queue, first, admitted, ids)
  local states = {}
  if call('EXISTS', STATES) == 1 then states = call('HMGET', STATES, unpack(ids)) end
  local bodies = call('HMGET', BODIES, unpack(ids))
  groups[#groups + 1] = {queue, first, admitted, ids, bodies, states}
end

local function claims_of_request()
  local found, all = {}, call('HGETALL', worker)
  for i = 1, #all, 2 do
    local number, place, admitted, queue =
      string.match(all[i + 1], '^(%d+) (%d+) (%d) %d+ (.*)$')
    if string.sub(all[i], 1, 1) ~= '#' and tonumber(number) == request then
      found[#found + 1] = {tonumber(place), tonumber(admitted), queue, all[i]}
    end
  end
  table.sort(found, function(a, b) return a[1] < b[1] end)
  return found
end

if request == last then
  local found, stale = claims_of_request(), {}
  for _, claim in ipairs(found) do add_group(claim[3], claim[1], claim[2], {claim[4]}) end
  local number, kept = string.match(call('HGET', worker, '#stale') or '', '^(%d+)\n(.*)$')
  if tonumber(number) == request then
    for id in string.gmatch(kept, '[^\n]+') do stale[#stale + 1] = id end
  end
  return {0, stale, #found < want and next_due(queues) or -1, unpack(groups)}
end

local stale = settle(worker, at)

local function claim(queue, admitted, ids)
  local head, tail = ARGV[2] .. ' ', ' ' .. admitted .. ' ' .. stamp .. ' ' .. queue
  local n = #claimed
  for k, id in ipairs(ids) do
    claimed[n + 2 * k - 1], claimed[n + 2 * k] = id, head .. (index + k - 1) .. tail
  end
  add_group(queue, index, admitted, ids)
  index = index + #ids
end

-- The list first; then delayed jobs that are due, without a detour through the list.
local function grab(queue, most)
  local ids = call('LPOP', P .. 'ready:' .. queue, most) or {}
  if #ids < most then
    local delayed = P .. 'delayed:' .. queue
    local due = call('ZRANGE', delayed, '-inf', stamp, 'BYSCORE', 'LIMIT', 0, most - #ids)
    if #due > 0 then call('ZREM', delayed, unpack(due)) end
    for _, id in ipairs(due) do ids[#ids + 1] = id end
  end
  return ids
end

local turned, from = {}, ARGV[4] == '-1' and request or 0
for i = 1, #queues do turned[i] = queues[(i - 1 + from) % #queues + 1] end

if want > 0 then
  for _, queue in ipairs(turned) do
    local id = grab_parked(queue)
    if id then
      claim(queue, 1, {id})
      break
    end
  end
  for _, queue in ipairs(turned) do
    if index == want then break end
    local ids = grab(queue, want - index)
    if #ids > 0 then claim(queue, 0, ids) end
  end
end

call('HSET', worker, '#request', ARGV[2], unpack(claimed))
if #stale > 0 then
  call('HSET', worker, '#stale', ARGV[2] .. '\n' .. table.concat(stale, '\n'))
end
if index < want then return {0, stale, next_due(turned), unpack(groups)} end
if want > 0 then
  for _, queue in ipairs(turned) do
    local more = ready_in(queue)
    if more > 0 then
      wake(queue, more)
      break
    end
  end
end
return {0, stale, -1, unpack(groups)}
