-- Part `known_queues`: the queues to show. Of many empty queues, only the last
-- used are shown, so that the cost does not grow with their number.

local COUNTERS = {
  'done', 'failed', 'retried', 'limited', 'parked', 'crashed', 'cancelled', 'discarded', 'snoozed',
  'skipped', 'replaced', 'expired',
}
-- If more than FEW_KNOWN queues are known, only the RECENT ones used last are shown if empty.
local FEW_KNOWN, RECENT = 100, 5

-- How many jobs workers hold, by queue.
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

-- Call `add` with each queue that may hold something or is paused, possibly more than once.
local function each_nonempty(add)
  for _, set in ipairs({ACTIVE, LATER}) do
    for _, queue in ipairs(call('ZRANGE', set, 0, -1)) do add(queue) end
  end
  -- A queue whose jobs all wait for gates is in neither, because nothing in it becomes due.
  for _, queue in ipairs(call('SUNION', P .. 'lined', P .. 'paused', P .. 'failures')) do add(queue) end
end

-- Call `add` with the queues that were used last.
local function each_recent(add)
  local used, idle = P .. 'known', P .. 'idle'
  local last = RECENT - 1
  if call('ZCARD', used) + call('ZCARD', idle) <= FEW_KNOWN then last = -1 end
  for _, set in ipairs({used, idle}) do
    for _, queue in ipairs(call('ZRANGE', set, 0, last, 'REV')) do add(queue) end
  end
end
