#!lua flags=allow-oom
-- Delete delayed, parked and ready jobs.
-- Parts: waiting_jobs.
--
-- ARGV: ids (at most 1000).
-- Reply: the ids that were found.

local found, counts = {}, {}
for _, id in ipairs(ARGV) do
  local queue = delete_waiting(id)
  if queue then
    found[#found + 1] = id
    counts[queue] = (counts[queue] or 0) + 1
  end
end
for queue, cancelled in pairs(counts) do count('cancelled', queue, cancelled) end
return found
