#!lua flags=allow-oom
-- Remove a node, unless its heartbeat counter has changed or it still has workers.
-- Parts: silent_nodes.
--
-- ARGV: node, its last known heartbeat counter.
-- Reply: nil if the node is gone or its counter differs, else the node's workers; it is removed if
--        there are none.

if not is_silent(ARGV[1], ARGV[2]) then return false end
local workers, listed = {}, {}
local all = call('HGETALL', P .. 'workers')
for i = 1, #all, 2 do
  if all[i + 1] == ARGV[1] then
    workers[#workers + 1], listed[all[i]] = all[i], true
  end
end
local members = redis.pcall('SMEMBERS', P .. 'node:' .. ARGV[1])
for _, worker in ipairs(members) do  -- none if the key is not a set
  if not listed[worker] and call('EXISTS', P .. 'worker:' .. worker) == 1 then
    workers[#workers + 1] = worker
  end
end
if #workers == 0 then
  call('DEL', P .. 'node:' .. ARGV[1])
  call('HDEL', P .. 'nodes', ARGV[1])
  call('HDEL', P .. 'nodeinfo', ARGV[1])
  call('DEL', P .. 'declared:' .. ARGV[1])
end
return workers
