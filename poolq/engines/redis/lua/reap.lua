#!lua flags=allow-oom
-- Recover all workers of a node and remove it, unless its heartbeat counter has changed.
-- Parts: recovery.
--
-- ARGV: node, its last known heartbeat counter, history line for jobs that its workers had started.
-- Reply: as that of `recover`, or nil if the node is gone or its counter differs.

local beats = call('HGET', P .. 'nodes', ARGV[1])
if not beats or (string.match(beats, '^%d+$') or '0') ~= ARGV[2] then return false end
local left = redis.pcall('SMEMBERS', P .. 'node:' .. ARGV[1])
local all = call('HGETALL', P .. 'workers')
for i = 1, #all, 2 do
  if all[i + 1] == ARGV[1] then recover(all[i], nil, ARGV[3]) end
end
for _, worker in ipairs(left) do  -- most were just recovered; no workers if the key is not a set
  if call('EXISTS', P .. 'worker:' .. worker) == 1 then recover(worker, nil, ARGV[3]) end
end
call('DEL', P .. 'node:' .. ARGV[1])
call('HDEL', P .. 'nodes', ARGV[1])
call('HDEL', P .. 'nodeinfo', ARGV[1])
call('DEL', P .. 'declared:' .. ARGV[1])
return recovered()
