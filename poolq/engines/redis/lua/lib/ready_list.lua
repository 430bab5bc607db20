-- Part `ready_list` (needs `bodies`): positions in a queue's list of ready jobs. The list is sorted by
-- due time, then by id, unless the clock has gone back.

-- Takes the place of a job that is about to be removed from a list. It is never an id.
local GONE = '-'

-- Whether a job comes after the job `id`, which is or was due at `due`. A job whose body is lost
-- counts as an earlier one.
local function is_behind(other, due, id)
  local _, its = origin_of(other)
  return its ~= nil and (its > due or its == due and other > id)
end

local function by_due(a, b)
  if a.due == b.due then return a.id < b.id end
  return a.due < b.due
end

-- The position of the first job in a list that comes after the job `id`, or `high` (by default the
-- list's length) if it is not before that.
local function first_behind(key, due, id, high)
  local low = 0
  high = high or call('LLEN', key)
  while low < high do
    local middle = math.floor((low + high) / 2)
    if is_behind(call('LINDEX', key, middle), due, id) then high = middle else low = middle + 1 end
  end
  return low
end

-- How many ids are read at once, because jobs that are near each other are often looked for together.
local LIST_WINDOW = 500

local function is_claimed(id)
  for _, worker in ipairs(call('HKEYS', P .. 'workers')) do
    if call('HEXISTS', P .. 'worker:' .. worker, id) == 1 then return true end
  end
  return false
end

-- Set `at` of those of these jobs that are in the list, to their position. Sorts the jobs.
local function locate(key, jobs)
  table.sort(jobs, by_due)
  local near = {}
  for _, job in ipairs(jobs) do
    if not near[job.id] then
      local from = first_behind(key, job.due, job.id) - 1
      if from >= 0 and call('LINDEX', key, from) == job.id then
        for k, id in ipairs(call('LRANGE', key, from, from + LIST_WINDOW)) do near[id] = from + k - 1 end
      end
    end
    job.at = near[job.id]
    -- After the clock has gone back, the list is searched from its head.
    if not job.at and not is_claimed(job.id) then job.at = call('LPOS', key, job.id) or nil end
  end
end

-- Remove jobs that `locate` has found from the list.
local function remove_located(key, jobs)
  if #jobs == 0 then return end
  for _, job in ipairs(jobs) do call('LSET', key, job.at, GONE) end
  call('LREM', key, #jobs, GONE)
end
