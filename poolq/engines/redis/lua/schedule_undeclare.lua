#!lua flags=allow-oom
-- End a declaration: remove what neither this node nor any other living one declares any more.
-- Parts: base, schedules.
--
-- ARGV: node, names (at most 1000).
-- Reply: 1.

local node = ARGV[1]
for i = 2, #ARGV do
  local name = ARGV[i]
  call('HDEL', P .. 'declared:' .. node, name)
  call('HDEL', P .. 'pending:' .. node, name)
  local one = read_schedule(name)
  if one and one.declared == '1' and not is_declared(name) then delete_schedule(name) end
end
return 1
