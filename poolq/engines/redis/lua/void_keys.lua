#!lua flags=no-writes
-- Count the unique keys of jobs that are gone.
--
-- ARGV: names of unique keys.
-- Reply: how many of them are not held for a time, and belong to jobs without a body.

local void = 0
for _, name in ipairs(ARGV) do
  local id = redis.pcall('GET', name)
  local ends = type(id) ~= 'string' or string.find(id, ' ', 1, true)
  if not ends and call('HEXISTS', bodies_of(id), id) == 0 then void = void + 1 end
end
return void
