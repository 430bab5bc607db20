#!lua flags=allow-oom
-- Delete failed jobs.
-- Parts: effects, failed_jobs.
--
-- ARGV: ids (at most 1000).
-- Reply: the ids that were found.

local found = {}
each_failed(ARGV, function(queue, ids)
  leave_failed(queue, ids)
  delete_jobs(ids, 1, #ids)
  for _, id in ipairs(ids) do found[#found + 1] = id end
end)
return found
