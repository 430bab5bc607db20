#!lua
-- Store jobs that are all unique until their start or end, if none of their keys exists. Like `push`,
-- this script has no flags.
-- Parts: base, wake_tokens, ready, pushing.
--
-- ARGV: n (at most 1000), then n times the name and the value of a unique key, all names distinct; n
--       times an id and its rights as JSON; then groups of jobs, see part `pushing`.
-- Reply: 1, or 0 if nothing was stored, because a key exists. It may be void, see part `ties`.

local n = 2 * tonumber(ARGV[1])
if call('MSETNX', unpack(ARGV, 2, n + 1)) == 0 then return 0 end
call('HSET', TIES, unpack(ARGV, n + 2, 2 * n + 1))
push_groups(2 * n + 2)
return 1
