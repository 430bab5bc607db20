#!lua flags=allow-oom
-- Recover all workers of a node and forget it, if it has not beaten since.
-- Parts: base, done, tokens, ready, bodies, limits, lines, holding, settling, recovery.
--
-- ARGV: node, its beats as last seen, history line for what each of its workers had started.
-- Reply: {ids done, ids crashed, ids returned}, or nil: it has beaten, or is gone.

if call('HGET', P .. 'nodes', ARGV[1]) ~= ARGV[2] then return false end
local fates = {done = {}, crashed = {}, returned = {}}
for _, worker in ipairs(call('SMEMBERS', P .. 'node:' .. ARGV[1])) do
  recover(worker, nil, ARGV[3], fates)
end
call('HDEL', P .. 'nodes', ARGV[1])
call('HDEL', P .. 'nodeinfo', ARGV[1])
return {fates.done, fates.crashed, fates.returned}
