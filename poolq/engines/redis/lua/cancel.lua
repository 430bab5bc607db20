#!lua flags=allow-oom
-- Delete delayed, parked and ready jobs.
-- Parts: base, wake_tokens, gates, gate_slots, ties, settle_done, ready, delayed, bodies, holds,
--        window_opening, limit_windows, parked_jobs, ready_list, waiting_jobs.
--
-- ARGV: ids (at most 1000).
-- Reply: the ids that were found.

local found, listed, counts = {}, {}, {}

local function delete(queue, id)
  delete_tied(id)
  found[#found + 1] = id
  counts[queue] = (counts[queue] or 0) + 1
end

for _, id in ipairs(ARGV) do
  local queue, due = origin_of(id)
  if not queue then  -- it is done, or never existed
  elseif leave_place(queue, id) then
    delete(queue, id)
  elseif not call('ZSCORE', P .. 'failed:' .. queue, id) then
    listed[queue] = listed[queue] or {}
    table.insert(listed[queue], {id = id, due = due})
  end
end

for queue, jobs in pairs(listed) do
  local there = {}
  locate(P .. 'ready:' .. queue, jobs)
  for _, job in ipairs(jobs) do
    if job.at then there[#there + 1] = job end
  end
  remove_located(P .. 'ready:' .. queue, there)
  for _, job in ipairs(there) do delete(queue, job.id) end
end
for queue, cancelled in pairs(counts) do count('cancelled', queue, cancelled) end
return found
