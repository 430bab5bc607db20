-- Part `later` (needs `ready`): when queues have something to give, beside what is pushed to be done now.

-- How many jobs of a queue may be claimed now.
local function ready_in(queue)
  return call('ZCARD', P .. 'back:' .. queue)
    + call('LLEN', P .. 'ready:' .. queue)
    + call('ZCOUNT', P .. 'delayed:' .. queue, '-inf', stamp)
    + call('ZCOUNT', P .. 'lines:' .. queue, '-inf', stamp)
end

-- When the next job of a queue is due that is not due now; nil: there is none.
local function later_in(queue)
  local first
  for _, set in ipairs({P .. 'delayed:', P .. 'lines:'}) do
    local head =
      call('ZRANGE', set .. queue, '(' .. stamp, '+inf', 'BYSCORE', 'LIMIT', 0, 1, 'WITHSCORES')
    local due = tonumber(head[2])
    if due and (first == nil or due < first) then first = due end
  end
  return first
end

-- A queue's time in `later` has come, or may be wrong: set it right. Returns it.
local function set_later(queue)
  local moment = call('SISMEMBER', P .. 'paused', queue) == 0 and later_in(queue)
  if moment then
    call('ZADD', LATER, digits(moment), queue)
  else
    call('ZREM', LATER, queue)
  end
  return moment
end

-- How many queues one script brings.
local BROUGHT = 100

-- Queues whose time has come may give something now; how much has become due.
local function bring()
  local n = 0
  for _, queue in ipairs(call('ZRANGE', LATER, '-inf', stamp, 'BYSCORE', 'LIMIT', 0, BROUGHT)) do
    set_later(queue)
    if call('SISMEMBER', P .. 'paused', queue) == 0 then
      local due = call('ZCOUNT', P .. 'delayed:' .. queue, '-inf', stamp)
        + call('ZCOUNT', P .. 'lines:' .. queue, '-inf', stamp)
      if due > 0 then activate(queue) end
      n = n + due
    end
  end
  return n
end

-- Store when a job is due; 0, as a hint for `wake`: it is the next one, so a keeper must look again.
local function delay(queue, id, due)
  local delayed = P .. 'delayed:' .. queue
  postpone(queue, due)
  call('ZADD', delayed, digits(due), id)
  return call('ZRANGE', delayed, 0, 0)[1] == id and 0 or nil
end
