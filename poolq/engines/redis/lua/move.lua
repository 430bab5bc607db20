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
local MAX_SHIFTED, SHIFTED_AT_ONCE = 20000, 500

local target = ARGV[1]
local ready, back = P .. 'ready:' .. target, P .. 'back:' .. target
local found, again, shifted = {}, {}, 0
-- Jobs to make ready, and those of them that come from lists, by queue.
local due_jobs, listed = {}, {}

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
    call('ZADD', P .. 'failures', 'GT', at, target)
    call('ZADD', P .. 'failed:' .. target, at, id)
    set_queue(id)
    call('ZREM', failed, id)
    if call('EXISTS', failed) == 0 then call('ZREM', P .. 'failures', queue) end
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

-- When these jobs, which have no readable due time if their body is lost, are or were due.
local function dues_of(ids)
  local states, dues, from = call('HMGET', STATES, unpack(ids)), {}, 1
  while from <= #ids do
    local to = last_in_same_hash(ids, from, #ids)
    local stored = call('HMGET', bodies_of(ids[from]), unpack(ids, from, to))
    for k = from, to do
      local later = string.match(states[k] or '', '^[1-9]%d*')
      dues[k] = later or string.match(stored[k - from + 1] or '', '^%d+') or '0'
    end
    from = to + 1
  end
  return dues
end

-- How many jobs of the list come before the job `id`, which is usually near the head.
local function count_before(due, id)
  local high, length = 1, call('LLEN', ready)
  while high < length and not is_behind(call('LINDEX', ready, high - 1), due, id) do high = 8 * high end
  return first_behind(ready, due, id, math.min(high, length))
end

-- Move the jobs that come before the job `id` from the list to `back`, which comes before the list.
-- Returns false if there are too many of them for one call.
local function shift_before(due, id)
  local left = count_before(due, id)
  while left > 0 do
    if shifted >= MAX_SHIFTED then return false end
    local ids, scored = call('LRANGE', ready, 0, math.min(left, SHIFTED_AT_ONCE) - 1), {}
    for k, its in ipairs(dues_of(ids)) do scored[2 * k - 1], scored[2 * k] = its, ids[k] end
    call('ZADD', back, unpack(scored))
    call('LTRIM', ready, #ids, -1)
    shifted, left = shifted + #ids, left - #ids
  end
  return true
end

-- Put a job into the queue before the jobs that come after it. Returns false if that takes too long.
local function make_ready(id, due)
  local last = call('LINDEX', ready, -1)
  if last and not is_behind(last, due, id) then
    call('RPUSH', ready, id)
  elseif shift_before(due, id) then
    call('ZADD', back, digits(due), id)
  else
    return false
  end
  set_queue(id)
  return true
end

-- Remove a job from where it was before it became ready. Jobs in lists are removed together.
local function remove(queue, id)
  return call('ZREM', P .. 'delayed:' .. queue, id) == 1
    or unpark(queue, id)
    or unrelease(queue, id)
    or call('ZREM', P .. 'back:' .. queue, id) == 1
end

for i = 2, #ARGV do
  local id = ARGV[i]
  local queue, due = origin_of(id)
  if queue == target then
    if not is_claimed(id) then found[#found + 1] = id end
  elseif queue and move_waiting(queue, id, due) then
    found[#found + 1] = id
  elseif queue then
    local job = {id = id, due = due, queue = queue}
    if not call('ZSCORE', P .. 'delayed:' .. queue, id)
      and call('HEXISTS', P .. 'parkrules:' .. queue, id) == 0
      and not call('ZSCORE', P .. 'held:' .. queue, id)
      and not call('ZSCORE', P .. 'back:' .. queue, id) then
      listed[queue] = listed[queue] or {}
      table.insert(listed[queue], job)
    else
      due_jobs[#due_jobs + 1] = job
    end
  end
end
for queue, jobs in pairs(listed) do
  locate(P .. 'ready:' .. queue, jobs)
  for _, job in ipairs(jobs) do
    if job.at then due_jobs[#due_jobs + 1] = job end
  end
end

table.sort(due_jobs, by_due)
local moved, gone = 0, {}
if #due_jobs > 0 then
  activate(target)
  -- Delayed jobs that have become due come after the list, so they must be in it.
  for _ = 1, MAX_ROUNDS do
    if promote(target) < BATCH then break end
  end
end
for _, job in ipairs(due_jobs) do
  if not make_ready(job.id, job.due) then
    again[#again + 1] = job.id
  else
    moved = moved + 1
    found[#found + 1] = job.id
    if job.at then
      gone[job.queue] = gone[job.queue] or {}
      table.insert(gone[job.queue], job)
    else
      remove(job.queue, job.id)
    end
  end
end
for queue, jobs in pairs(gone) do remove_located(P .. 'ready:' .. queue, jobs) end
if moved > 0 then wake(target, moved) end
return {found, again}
