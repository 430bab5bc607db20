#!lua flags=allow-oom
-- Declare some schedules of a node's code, or store those that are pending.
-- Parts: base, schedules.
--
-- ARGV: node, the generation of its code that declares, and
--       "begin"
--       "end", the digest of all schedules
--       "declare" or "enact", and for each schedule: name, hash, first tick, spec
-- Reply: {the names that are now stored, the names that people have given to other schedules}.

local node, generation, how = ARGV[1], ARGV[2], ARGV[3]
local enacted, taken = {}, {}
if how ~= 'enact' and is_overtaken(node, generation) then return {enacted, taken} end
if how == 'begin' or how == 'end' then
  call('HSET', P .. 'declared:' .. node, '', generation .. ' ' .. (ARGV[4] or ''))
  return {enacted, taken}
end
for i = 4, #ARGV, 4 do
  local name, hash, due, spec = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
  if how == 'declare' or call('HGET', P .. 'declared:' .. node, name) == hash then
    local became = declare(node, name, hash, due, spec)
    if became == 'enacted' then enacted[#enacted + 1] = name end
    if became == 'taken' then taken[#taken + 1] = name end
  end
end
return {enacted, taken}
