#!lua flags=allow-oom
-- Mark the lines of parked jobs, so that workers ask the jobs' code for the limits again.
-- Parts: base, wake_tokens, gates, queue_arguments, ready, delayed, bodies, holds, window_opening,
--        limit_windows, parked_jobs, claims.
--
-- The lines of holds are left out, because nothing but the end of the hold lets their jobs start.
--
-- ARGV: worker, queues as in part `queue_arguments`.
-- Reply: 1, or 0 if the worker is not registered.

local worker = P .. 'worker:' .. ARGV[1]
if call('EXISTS', worker) == 0 then return 0 end
local since = registered_at(worker)
for _, queue in ipairs(queues_at(2) or call('SMEMBERS', P .. 'lined')) do
  local marks = {}
  for _, identity in ipairs(call('ZRANGE', P .. 'lines:' .. queue, 0, -1)) do
    if identity ~= RELEASED and not is_hold(identity) then
      marks[#marks + 1] = digits(since)
      marks[#marks + 1] = identity
    end
  end
  for i = 1, #marks, 1000 do
    call('ZADD', P .. 'marked:' .. queue, 'GT', unpack(marks, i, math.min(i + 999, #marks)))
  end
  if #marks > 0 then
    activate(queue)
    wake(queue, 1)
  end
end
return 1
