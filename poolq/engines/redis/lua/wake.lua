#!lua flags=allow-oom
-- Leave a wake token for those who wait on these queues, where they have ready jobs.
-- Parts: base, tokens, ready, later, queues, unpaused.
--
-- ARGV: queues as part `queues` has them.
-- Reply: 1.

-- How many queues are asked at most.
local ASKED = 100

local names = named_at(1)
if not names then
  -- The first of all, and those that somebody waits on by name.
  names = call('ZRANGE', ACTIVE, 0, ASKED - 1)
  for _, queue in ipairs(call('ZRANGE', P .. 'named', stamp, '+inf', 'BYSCORE')) do
    names[#names + 1] = queue
  end
end
for _, queue in ipairs((open_of(names))) do
  local ready = ready_in(queue)
  if ready > 0 then wake(queue, ready) end
end
return 1
