-- Part `ready` (needs `tokens`): jobs that may be claimed, and which queues may have some.
--
-- A queue that may give something now is in `active`, whatever put it there; who finds it to be empty may
-- take it out. When its next delayed or held back job is due is in `later`, or an earlier time. So nobody
-- who serves all queues has to ask each.

-- How many due jobs one script moves from the delayed ones to the list at once, and how often.
local MOVED, ROUNDS = 1000, 50

local function know(queue)
  call('ZADD', P .. 'queues', stamp, queue)
  call('ZREM', P .. 'idle', queue)
end

-- A queue may give something now.
local function activate(queue)
  if call('ZADD', ACTIVE, 0, queue) == 1 then know(queue) end
end

-- A queue gives something at that time.
local function postpone(queue, moment)
  if call('ZADD', LATER, 'LT', digits(moment), queue) == 1 then know(queue) end
end

-- Move delayed jobs that are due (at most MOVED) into the list; returns how many.
local function promote(queue)
  local delayed = P .. 'delayed:' .. queue
  local due = call('ZRANGE', delayed, '-inf', stamp, 'BYSCORE', 'LIMIT', 0, MOVED)
  if #due > 0 then
    activate(queue)
    call('RPUSH', P .. 'ready:' .. queue, unpack(due))
    call('ZREM', delayed, unpack(due))
  end
  return #due
end

-- Put ids (at most 1000) that are due now behind all others of their queue, also behind the
-- delayed ones that have become due; returns how many are in the list.
local function append(queue, ids)
  local ready = P .. 'ready:' .. queue
  for _ = 1, ROUNDS do
    if promote(queue) < MOVED then return call('RPUSH', ready, unpack(ids)) end
  end
  -- More may be due: they keep their place before these.
  local scored = {}
  for i, id in ipairs(ids) do
    scored[2 * i - 1], scored[2 * i] = stamp, id
  end
  call('ZADD', P .. 'delayed:' .. queue, unpack(scored))
  return call('LLEN', ready)
end
