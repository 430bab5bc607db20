#!lua flags=allow-oom
-- End a declaration: remove what neither this node nor any other living one declares any more.
-- Parts: base, schedules.
--
-- Also forget schedules that no living node has declared for long.
--
-- ARGV: node, for how many microseconds schedules are kept, names (at most 1000).
-- Reply: 1.

local node = ARGV[1]
for i = 3, #ARGV do
  local name = ARGV[i]
  call('HDEL', P .. 'declared:' .. node, name)
  call('HDEL', P .. 'pending:' .. node, name)
  local one = read_schedule(name)
  if one and one.declared == '1' and not is_declared(name) then delete_schedule(name) end
end
for _, name in ipairs(call('ZRANGE', TICKS, NEVER, NEVER, 'BYSCORE', 'LIMIT', 0, 1000)) do
  local one = read_schedule(name)
  local old = one and one.declared == '1' and one.paused == '0' and now - one.due > tonumber(ARGV[2])
  if old and not is_declared(name) then delete_schedule(name) end
end
return 1
