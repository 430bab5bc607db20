#!lua flags=no-writes
-- Count the rights of jobs that are gone, among some of them.
-- Parts: base.
--
-- ARGV: how many are looked at.
-- Reply: how many of them belong to jobs without a body.

local void = 0
for _, id in ipairs(call('HRANDFIELD', P .. 'ties', ARGV[1]) or {}) do
  if call('HEXISTS', bodies_of(id), id) == 0 then void = void + 1 end
end
return void
