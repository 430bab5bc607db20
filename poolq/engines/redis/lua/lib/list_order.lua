-- Part `list_order` (needs `bodies`): positions in a queue's list of ready jobs. It is sorted by due time, then
-- by id, unless the clock has gone back.

-- When an entry of a queue's list is or was due; nil if its body is lost.
local function due_in_list(queue, id)
  local gone = tonumber(call('HGET', P .. 'gone:' .. queue, id) or nil)
  if gone then return gone end
  local _, due = origin_of(id)
  return due
end

-- Whether an entry of the list comes after the job `id`, which is or was due at `due`. A job whose body
-- is lost counts as an earlier one.
local function is_behind(queue, other, due, id)
  local its = due_in_list(queue, other)
  return its ~= nil and (its > due or its == due and other > id)
end

-- The position of the first entry of the list that comes after the job `id`; `high` (by default the
-- list's length) if no entry before that position does.
local function first_behind(queue, due, id, high)
  local low, ready = 0, P .. 'ready:' .. queue
  high = math.min(high or math.huge, call('LLEN', ready))
  while low < high do
    local middle = math.floor((low + high) / 2)
    if is_behind(queue, call('LINDEX', ready, middle), due, id) then high = middle else low = middle + 1 end
  end
  return low
end

-- How many of the first `most` entries of the list are jobs that come before the job `id`.
local function count_before(queue, due, id, most)
  local n, gone = first_behind(queue, due, id, most), P .. 'gone:' .. queue
  local jobs = n
  if n > 0 and call('EXISTS', gone) == 1 then
    for _, left in ipairs(call('HMGET', gone, unpack(call('LRANGE', P .. 'ready:' .. queue, 0, n - 1)))) do
      if left then jobs = jobs - 1 end
    end
  end
  return jobs
end
