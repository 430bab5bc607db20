#!lua flags=allow-oom
-- Leave a wake token for each queue that has ready jobs.
-- Parts: base, tokens, ready, queues.
--
-- ARGV: queues as part `queues` has them.
-- Reply: 1.

for _, queue in ipairs(open_of((named_at(1)))) do
  local ready = ready_in(queue)
  if ready > 0 then wake(queue, ready) end
end
return 1
