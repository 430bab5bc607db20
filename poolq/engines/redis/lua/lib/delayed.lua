-- Part `delayed` (needs `ready`): when queues will next have claimable jobs.

-- How many jobs of a queue can be claimed now.
local function count_ready(queue)
  return call('ZCARD', P .. 'back:' .. queue)
    + count_listed(queue)
    + call('ZCOUNT', P .. 'delayed:' .. queue, '-inf', stamp)
    + call('ZCOUNT', P .. 'lines:' .. queue, '-inf', stamp)
end

-- When the next delayed or held job of a queue will become due; nil if there is none.
local function next_due_in(queue)
  local first
  for _, set in ipairs({P .. 'delayed:', P .. 'lines:'}) do
    -- Skip lines that wait until a gate has room: their time is 2^53 - 1, which means never.
    local head = call(
      'ZRANGE', set .. queue, '(' .. stamp, '(9007199254740991', 'BYSCORE', 'LIMIT', 0, 1, 'WITHSCORES')
    local due = tonumber(head[2])
    if due and (first == nil or due < first) then first = due end
  end
  return first
end

-- Replace a queue's time in `later`, which has passed or may be wrong. Returns the new time.
local function update_later(queue)
  local moment = call('SISMEMBER', P .. 'paused', queue) == 0 and next_due_in(queue)
  if moment then
    call('ZADD', LATER, digits(moment), queue)
  else
    call('ZREM', LATER, queue)
  end
  return moment
end

-- How many queues one script activates at most.
local MAX_ACTIVATED = 100

-- Activate the queues whose time has come. Returns how many jobs have become due.
local function activate_due()
  local n = 0
  for _, queue in ipairs(call('ZRANGE', LATER, '-inf', stamp, 'BYSCORE', 'LIMIT', 0, MAX_ACTIVATED)) do
    update_later(queue)
    if call('SISMEMBER', P .. 'paused', queue) == 0 then
      local due = call('ZCOUNT', P .. 'delayed:' .. queue, '-inf', stamp)
        + call('ZCOUNT', P .. 'lines:' .. queue, '-inf', stamp)
      if due > 0 then activate(queue) end
      n = n + due
    end
  end
  return n
end
