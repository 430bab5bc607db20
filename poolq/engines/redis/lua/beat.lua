#!lua flags=allow-oom
-- Increment a node's heartbeat counter.
-- Parts: clock_jumps.
--
-- ARGV: node, its info, the number at which its heartbeats begin.
-- Reply: {node, heartbeats, ...} for all nodes.

check_clock()
call('HSETNX', P .. 'nodes', ARGV[1], ARGV[3])
if type(redis.pcall('HINCRBY', P .. 'nodes', ARGV[1], 1)) ~= 'number' then
  call('HSET', P .. 'nodes', ARGV[1], ARGV[3])  -- it was not a number
end
call('HSET', P .. 'nodeinfo', ARGV[1], ARGV[2])
return call('HGETALL', P .. 'nodes')
