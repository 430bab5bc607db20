#!lua flags=allow-oom
-- Delete a delayed, parked or ready job. Scans the list of ready jobs.
-- Parts: base, wake_tokens, ready, delayed, bodies, limit_windows, parked_jobs.
--
-- ARGV: id.
-- Reply: 1 if it was deleted, else 0.

local id = ARGV[1]
local queue = origin_of(id)
if not queue then return 0 end
if call('ZREM', P .. 'delayed:' .. queue, id) == 1
  or unpark(queue, id)
  or unrelease(queue, id)
  or call('ZREM', P .. 'back:' .. queue, id) == 1
  or call('LREM', P .. 'ready:' .. queue, 1, id) == 1 then
  delete_job(id)
  return 1
end
return 0
