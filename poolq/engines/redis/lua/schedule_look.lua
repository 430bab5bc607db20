#!lua flags=allow-oom
-- Find the schedules that are due. Set aside those that no living node declares.
-- Parts: schedules.
--
-- ARGV: how many at most.
-- Reply: {the time, due schedules (see `shown_schedule`), when the next one is due or "", how many there
--         are, 1 if more may be due, unreadable ones that were set aside}.

local most = tonumber(ARGV[1])
local due, odd = {}, {}
local names = call('ZRANGE', TICKS, '-inf', stamp, 'BYSCORE', 'LIMIT', 0, most)
for _, name in ipairs(names) do
  local one = read_schedule(name)
  if one and (one.declared == '0' or is_declared(name)) then
    due[#due + 1] = shown_schedule(one)
  else
    call('ZADD', TICKS, NEVER, name)
    if not one then odd[#odd + 1] = name end
  end
end
local later = call('ZRANGE', TICKS, '(' .. stamp, '(' .. NEVER, 'BYSCORE', 'LIMIT', 0, 1, 'WITHSCORES')
return {
  stamp, due, later[2] and digits(tonumber(later[2])) or '', call('HLEN', SCHEDULES),
  #names == most and 1 or 0, odd,
}
