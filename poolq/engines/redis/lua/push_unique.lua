#!lua
-- Store jobs that are all unique until their start or end, if none of their keys exists. Like `push`,
-- this script has no flags.
-- Parts: base, wake_tokens, ready, pushing.
--
-- ARGV: until when ("start" or "end"), n (at most 1000), n different unique keys without control
--       characters, then groups of jobs, see part `pushing`, in the order of their keys.
-- Reply: 1, or 0 if nothing was stored, because a key exists. It may be void, see part `ties`.

-- %q quotes text without control characters to the byte as poolq/jobs/ties.py does.
local rights = '{"unique":{"key":%q,"until":"' .. ARGV[1] .. '"}}'
local unique, format = P .. 'unique:', string.format
local groups = ARGV[2] + 3
local keys, tied, k, i = {}, {}, 1, groups
while i < #ARGV do
  local n, first, step = tonumber(ARGV[i + 1]), i + 2, 2
  if n < 0 then n, first, step = -n, i + 3, 3 end
  i = i + 2 + step * n
  for at = first, i - 1, step do
    local key, id = ARGV[(k + 5) / 2], ARGV[at]
    keys[k], keys[k + 1] = unique .. key, id
    tied[k], tied[k + 1] = id, format(rights, key)
    k = k + 2
  end
end
if call('MSETNX', unpack(keys)) == 0 then return 0 end
call('HSET', TIES, unpack(tied))
push_groups(groups)
return 1
