#!lua flags=allow-oom
-- Remove a node, unless it has registered workers.
--
-- ARGV: node.
-- Reply: 1 if it was removed, else 0.

if call('SCARD', P .. 'node:' .. ARGV[1]) > 0 then return 0 end
call('HDEL', P .. 'nodes', ARGV[1])
call('HDEL', P .. 'nodeinfo', ARGV[1])
call('DEL', P .. 'declared:' .. ARGV[1])
return 1
