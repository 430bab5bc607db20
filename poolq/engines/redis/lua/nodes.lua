#!lua flags=no-writes
-- List all nodes.
--
-- Reply: for each node {node, heartbeats, info, number of workers}.

local reply, all = {}, call('HGETALL', P .. 'nodes')
for i = 1, #all, 2 do
  local info = call('HGET', P .. 'nodeinfo', all[i]) or ''
  local workers = redis.pcall('SCARD', P .. 'node:' .. all[i])
  reply[#reply + 1] = {all[i], all[i + 1], info, tonumber(workers) or 0}
end
return reply
