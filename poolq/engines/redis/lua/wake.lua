#!lua flags=allow-oom
-- Leave wake tokens for keepers that wait on these queues, if the queues have ready jobs.
-- Parts: delayed, queue_arguments, unpaused.
--
-- ARGV: queues as in part `queue_arguments`.
-- Reply: 1.

-- How many queues are checked at most.
local MAX_ASKED = 100

local names = queues_at(1)
if not names then
  -- The first active queues, and those that a keeper waits on by name.
  names = call('ZRANGE', ACTIVE, 0, MAX_ASKED - 1)
  for _, queue in ipairs(call('ZRANGE', P .. 'named', stamp, '+inf', 'BYSCORE')) do
    names[#names + 1] = queue
  end
end
for _, queue in ipairs((split_paused(names))) do
  local ready = count_ready(queue)
  if ready > 0 then wake(queue, ready) end
end
return 1
