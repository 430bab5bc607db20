#!lua flags=allow-oom
-- Register a worker and its node, if they are not registered yet.
--
-- ARGV: worker, node, registration as JSON, the number at which the node's heartbeats begin.
-- Reply: 1.
--
-- The registration is longer than 64 bytes, so Redis stores the worker's hash as a real hash table
-- from the start. In the compact form, each look-up of a claim would scan all others.

local worker = P .. 'worker:' .. ARGV[1]
call('HSETNX', worker, '#request', -1)
call('HSET', worker, '#node', ARGV[2], '#who', ARGV[3])
call('HSET', P .. 'workers', ARGV[1], ARGV[2])
call('HSETNX', P .. 'nodes', ARGV[2], ARGV[4])
call('SADD', P .. 'node:' .. ARGV[2], ARGV[1])
return 1
