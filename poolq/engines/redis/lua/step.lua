#!lua flags=allow-oom
-- Settle what is finished, then claim: the hot path.
-- Parts: base, done, tokens, queues, fast_path, where most steps end, many_queues, ready, later, bodies, windows,
--        lines, claims, settling.
--
-- ARGV: worker, request, want, the last number that `settle` has told it (0: none), queues as part
--       `queues` has them, then settlements as parts `done` and `settling` have them.
-- Reply: {1}: the worker is not registered. {2, last}: the request is lower than the last one.
--        {0, stale ids, groups}, a group being {queue, index of its first, how (1: admitted, 2: to be reviewed), ids, bodies,
--        states};
--        a body or state that is not there is nil, and `states` is empty when there are none.
-- A request equal to the last one changes nothing and gets what is left of its reply.

local function claims_of_request()
  local found, all = {}, call('HGETALL', worker)
  for i = 1, #all, 2 do
    local number, place, how, queue =
      string.match(all[i + 1], '^(%d+) (%d+) ([^ ]+) %d+ (.*)$')
    if string.sub(all[i], 1, 1) ~= '#' and tonumber(number) == request then
      found[#found + 1] = {tonumber(place), how, queue, all[i]}
    end
  end
  table.sort(found, function(a, b) return a[1] < b[1] end)
  return found
end

if request == last then
  local found = claims_of_request()
  for _, claim in ipairs(found) do add_group(claim[3], claim[1], claim[2], {claim[4]}, read_bodies({claim[4]})) end
  local number, ids = string.match(call('HGET', worker, '#stale') or '', '^(%d+)\n(.*)$')
  if tonumber(number) == request then
    for id in string.gmatch(ids, '[^\n]+') do stale[#stale + 1] = id end
  end
  return {0, stale, groups}
end

heed_clock()
settle_others(worker, at, stale)

local granted, since = false, nil

-- At most one parked job a step: the head of a line that is to be reviewed, or one with its slot.
local function claim_parked(queue)
  local identity, id, how
  if call('EXISTS', P .. 'marked:' .. queue) == 1 then
    since = since or since_of(worker)
    identity, id = grab_marked(queue, since)
    how = 'r'
  end
  if not identity then identity, id, how = grab_parked(queue) end
  if not identity then return end
  granted = true
  claim(queue, how, {id})
  leave_line(queue, identity, id)
end

-- What comes before the ready jobs of a queue; whether there is more of it.
local function first_of(queue)
  local lines = P .. 'lines:' .. queue
  if call('EXISTS', lines) == 0 then return false end
  release_due(queue)
  if not granted then claim_parked(queue) end
  return call('EXISTS', P .. 'marked:' .. queue) == 1
    or #call('ZRANGE', lines, '-inf', stamp, 'BYSCORE', 'LIMIT', 0, 1) > 0
end

plain = false
if everywhere and want > 0 then
  bring()
  queues = call('ZRANGE', ACTIVE, 0, FEW)
  many = #queues > FEW
end

if many then
  local good, problem = pcall(ask_many, first_of)
  return answer_many(good, problem)
end

local open, shut = open_of(queues)
if everywhere then
  if #shut > 0 then call('ZREM', ACTIVE, unpack(shut)) end
  local found = {}
  for i = 1, #open do found[i] = open[(i - 1 + turn) % #open + 1] end
  open = found
  if #open > 1 then
    fields[#fields + 1] = '#turn'
    fields[#fields + 1] = turn + 1
  end
end
local good, problem = pcall(ask, open, first_of)
return answer(open, good, problem)
