-- Part `known_queues` (needs nothing but `base`): the queues that people are shown. Of many that were used, with
-- nothing in them now, only the last ones: what a look costs must not grow with them.

local COUNTERS = {'done', 'failed', 'retried', 'limited', 'parked', 'crashed'}
-- Up to how many known queues are all shown; else, how many of those that were used last.
local ALL, LAST = 100, 5

-- How many jobs workers have, by queue.
local function running_jobs()
  local running = {}
  for _, worker in ipairs(call('HKEYS', P .. 'workers')) do
    for _, claim in ipairs(call('HVALS', P .. 'worker:' .. worker)) do
      local queue = string.match(claim, '^%d+ %d+ [^ ]+ %d+ (.*)$')
      if queue then running[queue] = (running[queue] or 0) + 1 end
    end
  end
  return running
end

-- Calls `add` with each queue that may hold something or is paused, maybe more than once.
local function each_held(add)
  for _, set in ipairs({ACTIVE, LATER, P .. 'failures'}) do
    for _, queue in ipairs(call('ZRANGE', set, 0, -1)) do add(queue) end
  end
  for _, queue in ipairs(call('SMEMBERS', P .. 'paused')) do add(queue) end
end

-- And with those that were used last.
local function each_used(add)
  local used, idle = P .. 'queues', P .. 'idle'
  local last = LAST - 1
  if call('ZCARD', used) + call('ZCARD', idle) <= ALL then last = -1 end
  for _, set in ipairs({used, idle}) do
    for _, queue in ipairs(call('ZRANGE', set, 0, last, 'REV')) do add(queue) end
  end
end
