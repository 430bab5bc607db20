#!lua flags=allow-oom
-- Take over what poolq before 0.2 has stored: it knew no `active` queues, and its lines were lists.
-- Parts: base, tokens, known_queues, ready, later, bodies, windows, lines.
--
-- Reply: 1 if there is more of it, else 0.

local QUEUES, JOBS = 50, 500  -- at a time
local known = P .. 'queues'

-- Whether the queue has no such line any more.
local function take_lines(queue)
  local old = P .. 'parked:' .. queue
  local identity = call('ZRANGE', old, 0, 0)[1]
  if not identity then return true end
  local list = P .. 'park:' .. #queue .. ':' .. queue .. ':' .. identity
  local ids = call('LRANGE', list, 0, JOBS - 1)
  for _, id in ipairs(ids) do
    local _, rule = rules_of(queue, id)
    local _, due = origin_of(id)
    if rule then
      call('HSETNX', P .. 'limits:' .. queue, identity_of(rule), digits(rule.limit))
      join(queue, id, due or 0, rule)
    end
  end
  call('LTRIM', list, #ids, -1)
  if call('EXISTS', list) == 0 then call('ZREM', old, identity) end
  return false
end

local queues = call('ZRANGE', known, 0, 0, 'BYSCORE', 'LIMIT', 0, QUEUES)
for _, queue in ipairs(queues) do
  if not take_lines(queue) then
    call('ZADD', known, 0, queue)  -- it is not done yet, though it has become active
    return 1
  end
  if call('EXISTS', P .. 'failed:' .. queue) == 1 then call('ZADD', P .. 'failures', 0, queue) end
  if call('SISMEMBER', P .. 'paused', queue) == 0 then
    if ready_in(queue) > 0 then activate(queue) end
    set_later(queue)
  end
  call('ZADD', known, stamp, queue)
end
return #queues == QUEUES and 1 or 0
