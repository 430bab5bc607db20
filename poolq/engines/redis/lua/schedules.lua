#!lua flags=no-writes
-- Read schedules.
-- Parts: schedules.
--
-- ARGV: "names" and names, or "soonest" and how many.
-- Reply: schedules, see `shown_schedule`.

local names = {}
if ARGV[1] == 'names' then
  for i = 2, #ARGV do names[i - 1] = ARGV[i] end
else
  names = call('ZRANGE', TICKS, 0, tonumber(ARGV[2]) - 1)
end
local reply = {}
for _, name in ipairs(names) do
  local one = read_schedule(name)
  if one then reply[#reply + 1] = shown_schedule(one) end
end
return reply
