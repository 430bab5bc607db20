#!lua flags=allow-oom
-- Pause or resume a queue, for all nodes.
-- Parts: delayed.
--
-- ARGV: queue, "pause" or "resume".
-- Reply: 1.

local queue = ARGV[1]
if ARGV[2] == 'pause' then
  call('SADD', P .. 'paused', queue)
  call('DEL', P .. 'wake:' .. queue)
  call('ZREM', ACTIVE, queue)
  call('ZREM', LATER, queue)
elseif call('SREM', P .. 'paused', queue) == 1 then
  update_later(queue)
  local ready = count_ready(queue)
  if ready > 0 or call('EXISTS', P .. 'ready:' .. queue) == 1 then activate(queue) end
  wake(queue, ready)
end
return 1
