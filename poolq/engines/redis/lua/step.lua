#!lua flags=allow-oom
-- Settle what is finished, then claim: the hot path.
-- Parts: base, bodies, ready, limits, parking, queues, holding, settling.
--
-- ARGV: worker, request, want, queues as part `queues` has them, then settlements
--       as part `settling` has them.
-- Reply: {1}: the worker is not registered. {2, last}: the request is lower than the last one.
--        {0, stale ids, microseconds until the next job is due (-1: none, or not asked), groups},
--        a group being {queue, index of its first, admitted (0 or 1), ids, bodies, states};
--        a body or state that is not there is nil, and `states` is empty when there are none.
-- A request equal to the last one changes nothing and gets what is left of its reply.

local worker, request, want = P .. 'worker:' .. ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local kept = call('HMGET', worker, '#request', '#turn')
local last, turn = tonumber(kept[1] or nil), tonumber(kept[2] or 0)
if last == nil then return {1} end
if request < last then return {2, last} end

local queues, at = queues_at(4)
local groups, index = {}, 0

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
  local number, ids = string.match(call('HGET', worker, '#stale') or '', '^(%d+)\n(.*)$')
  if tonumber(number) == request then
    for id in string.gmatch(ids, '[^\n]+') do stale[#stale + 1] = id end
  end
  return {0, stale, #found < want and next_due(queues, '-inf') or -1, groups}
end

local stale = settle(worker, at)

-- What the worker's hash is given, all at once.
local fields = {'#request', ARGV[2]}

local function claim(queue, admitted, ids)
  local head, tail = ARGV[2] .. ' ', ' ' .. admitted .. ' ' .. stamp .. ' ' .. queue
  if #fields > 2000 then
    call('HSET', worker, unpack(fields))
    fields = {'#request', ARGV[2]}
  end
  local n = #fields
  for k = 1, #ids do
    fields[n + 2 * k - 1], fields[n + 2 * k] = ids[k], head .. (index + k - 1) .. tail
  end
  add_group(queue, index, admitted, ids)
  index = index + #ids
end

-- Jobs that came back, then the list, then delayed ones that are due (without a detour through
-- the list), of one queue until all that are wanted are claimed.
local function grab(queue)
  local back, ready, delayed = P .. 'back:' .. queue, P .. 'ready:' .. queue, P .. 'delayed:' .. queue
  repeat
    local most = math.min(want - index, 1000)
    local ids, returned = {}, call('ZPOPMIN', back, most)
    for i = 1, #returned, 2 do ids[#ids + 1] = returned[i] end
    if #ids == 0 then ids = call('LPOP', ready, most) or {} end
    if #ids == 0 then
      ids = call('ZRANGE', delayed, '-inf', stamp, 'BYSCORE', 'LIMIT', 0, most)
      if #ids > 0 then call('ZREM', delayed, unpack(ids)) end
    end
    if #ids > 0 then claim(queue, 0, ids) end
  until #ids == 0 or index == want
end

local turned = queues
if ARGV[4] == '-1' and want > 0 then
  turned = {}
  for i = 1, #queues do turned[i] = queues[(i - 1 + turn) % #queues + 1] end
  fields[3], fields[4] = '#turn', turn + 1
end

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
    grab(queue)
  end
end

call('HSET', worker, unpack(fields))
if #stale > 0 then
  call('HSET', worker, '#stale', ARGV[2] .. '\n' .. table.concat(stale, '\n'))
end
if index < want then return {0, stale, next_due(turned, '-inf'), groups} end
if want > 0 then
  for _, queue in ipairs(turned) do
    local more = ready_in(queue)
    if more > 0 then
      wake(queue, more)
      break
    end
  end
end
return {0, stale, -1, groups}
