#!lua flags=allow-oom
-- Let a queue give nothing, for every node, or let it give again.
-- Parts: base, tokens, ready, later.
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
  set_later(queue)
  -- A line that is to be reviewed gives its head whenever its slot is.
  local ready = math.max(ready_in(queue), call('EXISTS', P .. 'marked:' .. queue))
  if ready > 0 then activate(queue) end
  wake(queue, ready)
end
return 1
