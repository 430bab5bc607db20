#!lua flags=allow-oom
-- Let a queue give nothing, for every node, or let it give again.
-- Parts: base, tokens, ready, queues.
--
-- ARGV: queue, "pause" or "resume".
-- Reply: 1.

if ARGV[2] == 'pause' then
  know(ARGV[1])
  call('SADD', P .. 'paused', ARGV[1])
  call('DEL', P .. 'wake:' .. ARGV[1])
else
  call('SREM', P .. 'paused', ARGV[1])
  wake(ARGV[1], ready_in(ARGV[1]))
end
return 1
