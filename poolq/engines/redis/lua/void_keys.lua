#!lua flags=no-writes
-- Count the unique keys of jobs that are gone, among some of this server's keys.
-- Parts: base.
--
-- ARGV: how many keys are looked at.
-- Reply: how many of them are unique keys whose job has no body.

local cursor, void, looked = '0', 0, 0
repeat
  local reply = call('SCAN', cursor, 'MATCH', P .. 'unique:*', 'COUNT', 1000)
  cursor, looked = reply[1], looked + 1000
  for _, name in ipairs(reply[2]) do
    local id = redis.pcall('GET', name)
    local ends = type(id) ~= 'string' or string.find(id, ' ', 1, true)
    if not ends and call('HEXISTS', bodies_of(id), id) == 0 then void = void + 1 end
  end
until cursor == '0' or looked >= tonumber(ARGV[1])
return void
