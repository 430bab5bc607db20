-- Part `ready` (needs `wake_tokens`): claimable jobs, and which queues may have some.
--
-- Every queue that may have claimable jobs is in `active`. A script that finds a queue empty may
-- remove it. `later` contains the time at which a queue's next delayed or held job is due, or an
-- earlier time. So a worker that serves all queues does not have to ask each of them.

-- How many due jobs one script moves from the delayed set to the list.
local BATCH = 100

local function mark_known(queue)
  call('ZADD', P .. 'known', stamp, queue)
  call('ZREM', P .. 'idle', queue)
end

-- How many jobs are in a queue's list.
local function count_listed(queue)
  return call('LLEN', P .. 'ready:' .. queue) - call('HLEN', P .. 'gone:' .. queue)
end

-- Record that a queue may have claimable jobs now.
local function activate(queue)
  if call('ZADD', ACTIVE, 0, queue) == 1 then mark_known(queue) end
end

-- Record that a queue will have a claimable job at the time `moment`.
local function postpone(queue, moment)
  if call('ZADD', LATER, 'LT', digits(moment), queue) == 1 then mark_known(queue) end
end

-- Store when a job is due. If no delayed job is due earlier, returns 0, the hint with which `wake`
-- makes a keeper poll again.
local function add_delayed(queue, id, due)
  local delayed = P .. 'delayed:' .. queue
  postpone(queue, due)
  call('ZADD', delayed, digits(due), id)
  return call('ZRANGE', delayed, 0, 0)[1] == id and 0 or nil
end

-- Move due delayed jobs (at most BATCH) to the list. Returns how many.
local function promote(queue)
  local delayed = P .. 'delayed:' .. queue
  local due = call('ZRANGE', delayed, '-inf', stamp, 'BYSCORE', 'LIMIT', 0, BATCH)
  if #due > 0 then
    activate(queue)
    call('RPUSH', P .. 'ready:' .. queue, unpack(due))
    call('ZREM', delayed, unpack(due))
  end
  return #due
end

-- Put due ids (at most 1000) behind all other jobs of their queue, including delayed jobs that have
-- become due. Returns how many are in the list.
local function append(queue, ids)
  local ready = P .. 'ready:' .. queue
  if promote(queue) < BATCH then return call('RPUSH', ready, unpack(ids)) end
  -- More delayed jobs may be due. These ids join them, because they must come after them.
  local scored = {}
  for i, id in ipairs(ids) do
    scored[2 * i - 1], scored[2 * i] = stamp, id
  end
  call('ZADD', P .. 'delayed:' .. queue, unpack(scored))
  return call('LLEN', ready)
end
