#!lua
-- Store jobs that are all unique until their start or end, if none of their keys exists. Like `push`,
-- this script has no flags.
-- Parts: base, wake_tokens, ready, pushing.
--
-- ARGV: groups of jobs (at most 1000 in all) with different keys, see part `pushing`. Their bodies begin
--       with their rights, see part `ties`.
-- Reply: 1, or 0 if nothing was stored, because a key exists. It may be void, see part `ties`.

local unique, match = P .. 'unique:', string.match
local keys, k, i = {}, 1, 1
while i < #ARGV do
  local n, first, step = tonumber(ARGV[i + 1]), i + 2, 2
  if n < 0 then n, first, step = -n, i + 3, 3 end
  i = i + 2 + step * n
  for at = first, i - 1, step do
    keys[k], keys[k + 1] = unique .. match(ARGV[at + 1], ' ([^\n]*)'), ARGV[at]
    k = k + 2
  end
end
if call('MSETNX', unpack(keys)) == 0 then return 0 end
count_ties((k - 1) / 2)
push_groups(1, '')
return 1
