#!lua flags=allow-oom
-- What a keeper asks before it blocks: is anything ready, and when is the next job due?
-- Parts: base, queues.
--
-- ARGV: queues as part `queues` has them.
-- Reply: {how many are ready, microseconds until the next is due or -1}. When some are ready, the
--        wake tokens of these queues are taken.

local queues = queues_at(1)
local ready = 0
for _, queue in ipairs(queues) do ready = ready + ready_in(queue) end
if ready == 0 then return {0, digits(next_due(queues))} end
if ARGV[1] == '-1' then
  call('DEL', P .. 'wake')
else
  for _, queue in ipairs(queues) do call('DEL', P .. 'wake:' .. queue) end
end
return {ready, '-1'}
