#!lua flags=allow-oom
-- Convert data of poolq before 0.2, which had no `active` queues and whose lines were lists.
-- Parts: base, wake_tokens, gates, known_queues, ready, delayed, bodies, holds, window_opening,
--        limit_windows, parked_jobs.
--
-- Reply: 1 if there is more to convert, else 0.

local MAX_QUEUES, MAX_JOBS = 50, 500  -- at a time
local known = P .. 'queues'

-- Convert some jobs in old lines of a queue. Returns whether none are left.
local function take_lines(queue)
  local old = P .. 'parked:' .. queue
  local identity = call('ZRANGE', old, 0, 0)[1]
  if not identity then return true end
  local list = P .. 'park:' .. #queue .. ':' .. queue .. ':' .. identity
  local ids = call('LRANGE', list, 0, MAX_JOBS - 1)
  for _, id in ipairs(ids) do
    local _, rule = rules_of(queue, id)
    local _, due = origin_of(id)
    if rule then
      call('HSETNX', P .. 'limits:' .. queue, identity_of(rule), digits(rule.limit))
      join_line(queue, id, due or 0, rule)
    end
  end
  call('LTRIM', list, #ids, -1)
  if call('EXISTS', list) == 0 then call('ZREM', old, identity) end
  return false
end

local queues = call('ZRANGE', known, 0, 0, 'BYSCORE', 'LIMIT', 0, MAX_QUEUES)
for _, queue in ipairs(queues) do
  if not take_lines(queue) then
    call('ZADD', known, 0, queue)  -- not done yet; `activate` has changed its score
    return 1
  end
  if call('EXISTS', P .. 'failed:' .. queue) == 1 then call('ZADD', P .. 'failures', 0, queue) end
  if call('SISMEMBER', P .. 'paused', queue) == 0 then
    if count_ready(queue) > 0 then activate(queue) end
    update_later(queue)
  end
  call('ZADD', known, stamp, queue)
end
return #queues == MAX_QUEUES and 1 or 0
