-- Part `waiting_jobs` (needs `settle_done`, `delayed`, `parked_jobs`, `ready_list`): delete jobs that
-- no worker holds.

-- Delete a delayed, parked or ready job. Returns its queue, or nil if there is no such job.
local function delete_waiting(id)
  local queue, due = origin_of(id)
  if not queue then return nil end
  if not leave_place(queue, id) then
    if call('ZSCORE', P .. 'failed:' .. queue, id) then return nil end
    if not leave_list(queue, id, due) then return nil end
  end
  delete_jobs({id}, 1, 1)
  return queue
end

-- Delete a waiting job that another one replaces. Returns false if it does not wait.
local function replace_waiting(id)
  local queue = delete_waiting(id)
  if not queue then return false end
  count('replaced', queue, 1)
  return true
end
