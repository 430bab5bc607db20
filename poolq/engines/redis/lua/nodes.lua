#!lua flags=no-writes
-- All nodes.
-- Parts: base.
--
-- Reply: for each {node, beats, info, number of workers}.

local reply, all = {}, call('HGETALL', P .. 'nodes')
for i = 1, #all, 2 do
  local info = call('HGET', P .. 'nodeinfo', all[i]) or ''
  reply[#reply + 1] = {all[i], all[i + 1], info, call('SCARD', P .. 'node:' .. all[i])}
end
return reply
