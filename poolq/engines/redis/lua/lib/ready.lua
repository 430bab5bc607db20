-- Part `ready` (needs `tokens`): jobs that may be claimed.

-- How many due jobs one script moves from the delayed ones to the list.
local MOVED = 1000

-- How many jobs of a queue may be claimed now.
local function ready_in(queue)
  return call('ZCARD', P .. 'back:' .. queue)
    + call('LLEN', P .. 'ready:' .. queue)
    + call('ZCOUNT', P .. 'delayed:' .. queue, '-inf', stamp)
    + call('ZCOUNT', P .. 'lines:' .. queue, '-inf', stamp)
end

-- Make a queue known. A keeper of all queues must look again, to wait for this one too.
local function know(queue)
  if call('ZADD', P .. 'queues', 0, queue) == 1 and call('EXISTS', P .. 'wake') == 0 then
    call('RPUSH', P .. 'wake', 0)
  end
end

-- Move delayed jobs that are due (at most MOVED) into the list; returns how many.
local function promote(queue)
  local delayed = P .. 'delayed:' .. queue
  local due = call('ZRANGE', delayed, '-inf', stamp, 'BYSCORE', 'LIMIT', 0, MOVED)
  if #due > 0 then
    call('RPUSH', P .. 'ready:' .. queue, unpack(due))
    call('ZREM', delayed, unpack(due))
  end
  return #due
end

-- Put ids (at most 1000) that are due now behind all others of their queue, also behind the
-- delayed ones that have become due; returns how many are in the list.
local function append(queue, ids)
  local ready = P .. 'ready:' .. queue
  if promote(queue) < MOVED then return call('RPUSH', ready, unpack(ids)) end
  -- More may be due: they keep their place before these.
  local scored = {}
  for i, id in ipairs(ids) do
    scored[2 * i - 1], scored[2 * i] = stamp, id
  end
  call('ZADD', P .. 'delayed:' .. queue, unpack(scored))
  return call('LLEN', ready)
end

-- Store when a job is due; 0, as a hint for `wake`: it is the next one, so a keeper must look again.
local function delay(queue, id, due)
  local delayed = P .. 'delayed:' .. queue
  call('ZADD', delayed, digits(due), id)
  return call('ZRANGE', delayed, 0, 0)[1] == id and 0 or nil
end
