#!lua flags=allow-oom
-- Count a node's beat up.
-- Parts: base.
--
-- ARGV: node, its info.
-- Reply: {node, beats, ...}, all nodes.

call('HINCRBY', P .. 'nodes', ARGV[1], 1)
call('HSET', P .. 'nodeinfo', ARGV[1], ARGV[2])
return call('HGETALL', P .. 'nodes')
