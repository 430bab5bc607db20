#!lua flags=allow-oom
-- Forget a node without registered workers; another stays.
-- Parts: base.
--
-- ARGV: node.
-- Reply: 1 when it is gone, else 0.

if call('SCARD', P .. 'node:' .. ARGV[1]) > 0 then return 0 end
call('HDEL', P .. 'nodes', ARGV[1])
call('HDEL', P .. 'nodeinfo', ARGV[1])
return 1
