#!lua flags=allow-oom
-- Move jobs that are not running to another queue, without their slots of limits.
-- Parts: base, wake_tokens, gates, ready, delayed, bodies, holds, window_opening, limit_windows,
--        parked_jobs, ready_list.
--
-- ARGV: the queue, ids (at most 1000).
-- Reply: {the ids that were found, the ids to call the script with again}.
--
-- A script that fails is not rolled back. So that no job is lost, a job is first stored in its new
-- place, then removed from the old one.

-- How many other jobs one call moves out of the way.
local MAX_SHIFTED, SHIFTED_AT_ONCE = 2000, 500

local target = ARGV[1]
local ready, back = P .. 'ready:' .. target, P .. 'back:' .. target
local found, again, shifted = {}, {}, 0
-- Jobs to make ready.
local due_jobs = {}
-- Whether all delayed jobs of the target that are due are in its list, after which they come otherwise.
local all_listed = true

local function set_queue(id)
  local due, rest = string.match(call('HGET', bodies_of(id), id), '^(%d+) [^\n\t]*(.*)$')
  call('HSET', bodies_of(id), id, due .. ' ' .. target .. rest)
  call('HDEL', GRANTED, id)
end

-- Move a job that does not become ready now. Returns false if it does.
local function move_waiting(queue, id, due)
  local failed = P .. 'failed:' .. queue
  local at = call('ZSCORE', failed, id)
  if at then
    mark_known(target)
    add_failed(target, id, at)
    set_queue(id)
    call('ZREM', failed, id)
    if call('EXISTS', failed) == 0 then call('SREM', P .. 'failures', queue) end
    return true
  end
  at = tonumber(call('ZSCORE', P .. 'delayed:' .. queue, id) or nil)
  if at and at > now then
    local hint = add_delayed(target, id, at)
    set_queue(id)
    call('ZREM', P .. 'delayed:' .. queue, id)
    if hint then wake(target, hint) end
    return true
  end
  at = tonumber(call('ZSCORE', P .. 'held:' .. queue, id) or nil)
  local rule = string.match(call('HGET', P .. 'heldby:' .. queue, id) or '', '^%d+ (.*)$')
  if at and at > now and rule then
    local is_first = hold(target, id, due, at, rule)
    set_queue(id)
    unrelease(queue, id)
    if is_first then wake(target, 0) end
    return true
  end
  return false
end

-- How many entries of the list come before the job `id`, which is usually near the head.
local function count_before(due, id)
  local high, length = 1, call('LLEN', ready)
  while high < length and not is_behind(target, call('LINDEX', ready, high - 1), due, id) do
    high = 8 * high
  end
  return first_behind(target, due, id, math.min(high, length))
end

-- Move the jobs that come before the job `id` from the list to `back`, which comes before the list.
-- Returns false if there are too many of them for one call.
local function shift_before(due, id)
  local left = count_before(due, id)
  while left > 0 do
    if shifted >= MAX_SHIFTED then return false end
    local n = math.min(left, SHIFTED_AT_ONCE)
    shift_head(target, n)
    shifted, left = shifted + n, left - n
  end
  return true
end

-- Put a job into the queue before the jobs that come after it. Returns false if that takes too long.
local function make_ready(id, due)
  local last = call('LINDEX', ready, -1)
  if call('HDEL', P .. 'gone:' .. target, id) == 1 then  -- it returns to its place
  elseif last and not is_behind(target, last, due, id) then
    if all_listed then call('RPUSH', ready, id) else call('ZADD', P .. 'delayed:' .. target, digits(due), id) end
  elseif shift_before(due, id) then
    call('ZADD', back, digits(due), id)
  else
    return false
  end
  set_queue(id)
  return true
end

-- Take a job out of the place in which it was before it became ready.
local function leave(queue, id, due)
  return call('ZREM', P .. 'delayed:' .. queue, id) == 1
    or unpark(queue, id)
    or unrelease(queue, id)
    or call('ZREM', P .. 'back:' .. queue, id) == 1
    or leave_list(queue, id, due)
end

-- Whether a job is in any place that it leaves when it becomes ready.
local function waits(queue, id)
  return call('ZSCORE', P .. 'delayed:' .. queue, id) ~= false
    or call('HEXISTS', P .. 'parkrules:' .. queue, id) == 1
    or call('ZSCORE', P .. 'held:' .. queue, id) ~= false
    or call('ZSCORE', P .. 'back:' .. queue, id) ~= false
    or is_listed(queue, id)
end

for i = 2, #ARGV do
  local id = ARGV[i]
  local queue, due = origin_of(id)
  if queue == target then
    if not is_claimed(id) then found[#found + 1] = id end
  elseif queue and move_waiting(queue, id, due) then
    found[#found + 1] = id
  elseif queue and waits(queue, id) then
    due_jobs[#due_jobs + 1] = {id = id, due = due, queue = queue}
  end
end

table.sort(due_jobs, by_due)
local moved = 0
if #due_jobs > 0 then
  activate(target)
  all_listed = promote(target) < BATCH
end
for _, job in ipairs(due_jobs) do
  if make_ready(job.id, job.due) then
    leave(job.queue, job.id, job.due)
    moved = moved + 1
    found[#found + 1] = job.id
  else
    again[#again + 1] = job.id
  end
end
if moved > 0 then wake(target, moved) end
return {found, again}
