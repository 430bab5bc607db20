-- Part `ready_list` (needs `ready`, `bodies`, `parked_jobs`): jobs that leave their places before they are claimed.
--
-- The time to find an id in a list grows with the list's length. So if a job leaves a long list,
-- its id stays there, and is noted in gone:<queue>, until it comes to the head of the list. A
-- sorted set would not need this. But it takes 2 µs more of the server for each job of a batch (an
-- eighth of a whole job that does nothing), and 100 bytes more for each waiting job.

-- Up to this length, an id is removed from the list itself.
local SHORT_LIST = 500
-- While over half of a list's jobs are gone, each further one removes this many ids at the head.
local SHIFTED_PER_GONE = 10

local function by_due(a, b)
  if a.due == b.due then return a.id < b.id end
  return a.due < b.due
end

local function is_claimed(id)
  for _, worker in ipairs(call('HKEYS', P .. 'workers')) do
    if call('HEXISTS', P .. 'worker:' .. worker, id) == 1 then return true end
  end
  return false
end

-- Whether a job is in its queue's list. The caller knows that it is in no other place of the queue.
local function is_listed(queue, id)
  local ready = P .. 'ready:' .. queue
  if call('LLEN', ready) <= SHORT_LIST then return call('LPOS', ready, id) ~= false end
  return call('HEXISTS', P .. 'gone:' .. queue, id) == 0 and not is_claimed(id)
end

-- Move the first `n` jobs of the list to `back`.
local function shift_head(queue, n)
  local ready, gone, scored = P .. 'ready:' .. queue, P .. 'gone:' .. queue, {}
  local ids = call('LRANGE', ready, 0, n - 1)
  for k, left in ipairs(call('HMGET', gone, unpack(ids))) do
    if not left then
      local _, due = origin_of(ids[k])
      scored[#scored + 1] = digits(due or 0)
      scored[#scored + 1] = ids[k]
    end
  end
  if #scored > 0 then call('ZADD', P .. 'back:' .. queue, unpack(scored)) end
  call('LTRIM', ready, #ids, -1)
  call('HDEL', gone, unpack(ids))
end

-- Take a job out of its queue's list. Returns false if it is not there. The caller knows that it is
-- in no other place of the queue.
local function leave_list(queue, id, due)
  local ready, gone = P .. 'ready:' .. queue, P .. 'gone:' .. queue
  local length = call('LLEN', ready)
  if length <= SHORT_LIST then return call('LREM', ready, -1, id) == 1 end
  if is_claimed(id) or call('HSETNX', gone, id, digits(due)) == 0 then return false end
  local left = length - call('HLEN', gone)
  if left <= 0 then
    call('UNLINK', ready, gone)
  elseif 2 * left < length then
    shift_head(queue, SHIFTED_PER_GONE)
  end
  return true
end

-- Take a job out of its place in the queue. Returns false if it has no place except in the list.
local function leave_place(queue, id)
  return call('ZREM', P .. 'delayed:' .. queue, id) == 1
    or unpark(queue, id)
    or unrelease(queue, id)
    or call('ZREM', P .. 'back:' .. queue, id) == 1
end
