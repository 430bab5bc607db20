#!lua flags=no-writes
-- What each queue holds. Looks at the claims of every worker, never at the jobs.
-- Parts: base, bodies.
--
-- Reply: for each queue {queue, ready, delayed, parked, running, failed, microseconds that its
--        oldest ready job has been due, paused (0 or 1)}.

local running = {}
for _, worker in ipairs(call('HKEYS', P .. 'workers')) do
  for _, claim in ipairs(call('HVALS', P .. 'worker:' .. worker)) do
    local queue = string.match(claim, '^%d+ %d+ [^ ]+ %d+ (.*)$')
    if queue then running[queue] = (running[queue] or 0) + 1 end
  end
end

local function head_of(set, queue)
  return tonumber(call('ZRANGE', set .. queue, 0, 0, 'WITHSCORES')[2]) or now
end

local function oldest_in(queue)
  local first = call('LINDEX', P .. 'ready:' .. queue, 0)
  local _, due = origin_of(first or '')
  return digits(
    now - math.min(head_of(P .. 'back:', queue), head_of(P .. 'delayed:', queue), due or now, now)
  )
end

local reply = {}
for i, queue in ipairs(call('ZRANGE', P .. 'queues', 0, -1)) do
  local delayed, held = P .. 'delayed:' .. queue, P .. 'held:' .. queue
  local due = call('ZCOUNT', delayed, '-inf', stamp) + call('ZCOUNT', held, '-inf', stamp)
  reply[i] = {
    queue,
    call('ZCARD', P .. 'back:' .. queue) + call('LLEN', P .. 'ready:' .. queue) + due,
    call('ZCARD', delayed) + call('ZCARD', held) - due,
    call('HLEN', P .. 'parkrules:' .. queue),
    running[queue] or 0,
    call('ZCARD', P .. 'failed:' .. queue),
    oldest_in(queue),
    call('SISMEMBER', P .. 'paused', queue),
  }
end
return reply
