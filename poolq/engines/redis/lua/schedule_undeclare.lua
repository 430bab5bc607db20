#!lua flags=allow-oom
-- End a declaration: set aside what neither this node nor any other living one declares any more.
-- Parts: base, schedules.
--
-- Also forget schedules that no living node has declared for long.
--
-- ARGV: node, the generation of its code that declares, for how many microseconds schedules are kept,
--       names (at most 1000).
-- Reply: 1.

local node = ARGV[1]
if is_overtaken(node, ARGV[2]) then return 1 end
for i = 4, #ARGV do
  local name = ARGV[i]
  call('HDEL', P .. 'declared:' .. node, name)
  call('HDEL', P .. 'pending:' .. node, name)
  local one = read_schedule(name)
  if one and one.declared == '1' and not is_declared(name) then mark_removed(one) end
end
for _, name in ipairs(call('ZRANGE', TICKS, NEVER, NEVER, 'BYSCORE', 'LIMIT', 0, 1000)) do
  local one = read_schedule(name)
  if one and one.declared == '1' and not is_declared(name) then
    -- The tick of a paused schedule does not tell for how long no node has declared it.
    if one.paused == '1' then mark_removed(one) end
    if now - one.due > tonumber(ARGV[3]) then delete_schedule(name) end
  end
end
return 1
