#!lua flags=allow-oom
-- Take slots and starts as `admit_gated` does, for a claim that is to ask for a start because older code has
-- named its limits. Its rules name the limits of the lines of its queue.
-- Parts: base, wake_tokens, gates, claims, bodies, holds, gated_admission, window_opening, limit_windows,
--        released_first, windowed_admission, ready, delayed, parked_jobs.

if how == 'r' then
  local deploy = deploy_of(worker)
  for _, rule in ipairs(rules) do
    if set_limit(queue, rule, deploy) then wake(queue, 0) end
  end
end
return reply
