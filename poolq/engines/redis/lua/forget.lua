#!lua flags=allow-oom
-- Delete failed jobs.
-- Parts: base, bodies.
--
-- ARGV: ids.
-- Reply: the ids that were found.

local found = {}
for _, id in ipairs(ARGV) do
  local queue = origin_of(id)
  if queue and call('ZREM', P .. 'failed:' .. queue, id) == 1 then
    delete_job(id)
    if call('EXISTS', P .. 'failed:' .. queue) == 0 then call('ZREM', P .. 'failures', queue) end
    found[#found + 1] = id
  end
end
return found
