#!lua flags=allow-oom
-- Delete failed jobs.
-- Parts: unique_keys, failed_jobs.
--
-- ARGV: ids (at most 1000).
-- Reply: the ids that were found.

local found = {}
each_failed(ARGV, function(queue, ids)
  leave_failed(queue, ids)
  unique_keys().finish(ids, 1, #ids)
  delete_bodies(ids, 1, #ids)
  call('HDEL', STATES, unpack(ids))
  call('HDEL', GRANTED, unpack(ids))
  for _, id in ipairs(ids) do found[#found + 1] = id end
end)
return found
