#!lua flags=no-writes
-- Count what each queue holds. Reads the claims of all workers, but not the jobs.
-- Parts: bodies, known_queues.
--
-- Reply: {for each queue that may hold something {queue, ready, delayed, parked, running, failed,
--        microseconds since its oldest ready job became due, paused (0 or 1)}, empty queues}.

local running = running_jobs()

local function first_due(set, queue)
  return tonumber(call('ZRANGE', set .. queue, 0, 0, 'WITHSCORES')[2]) or now
end

local function oldest_age(queue)
  local first = call('LINDEX', P .. 'ready:' .. queue, 0)
  local _, due = origin_of(first or '')
  local back, delayed = first_due(P .. 'back:', queue), first_due(P .. 'delayed:', queue)
  return digits(now - math.min(back, delayed, due or now, now))
end

local function counts_of(queue)
  local delayed, held = P .. 'delayed:' .. queue, P .. 'held:' .. queue
  local due = call('ZCOUNT', delayed, '-inf', stamp) + call('ZCOUNT', held, '-inf', stamp)
  return {
    queue,
    call('ZCARD', P .. 'back:' .. queue) + call('LLEN', P .. 'ready:' .. queue)
      - call('HLEN', P .. 'gone:' .. queue) + due,
    call('ZCARD', delayed) + call('ZCARD', held) - due,
    call('HLEN', P .. 'parkrules:' .. queue),
    running[queue] or 0,
    call('ZCARD', P .. 'failed:' .. queue),
    oldest_age(queue),
    call('SISMEMBER', P .. 'paused', queue),
  }
end

local full, empty, seen, paused = {}, {}, {}, {}

local function add_empty(queue)
  if seen[queue] then return end
  seen[queue] = true
  empty[#empty + 1] = queue
end

local function add(queue)
  if seen[queue] then return end
  local found = call('EXISTS', P .. 'ready:' .. queue, P .. 'back:' .. queue,
    P .. 'delayed:' .. queue, P .. 'lines:' .. queue, P .. 'failed:' .. queue)
  if found == 0 and not running[queue] and not paused[queue] then return add_empty(queue) end
  seen[queue] = true
  full[#full + 1] = counts_of(queue)
end

for _, queue in ipairs(call('SMEMBERS', P .. 'paused')) do paused[queue] = true end
each_nonempty(add)
for queue in pairs(running) do add(queue) end
each_recent(add_empty)
return {full, empty}
