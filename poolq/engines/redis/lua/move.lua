#!lua flags=allow-oom
-- Move jobs that are not running to another queue, without their slots of limits.
-- Parts: list_order, ready_list.
--
-- ARGV: the queue, ids (at most 1000).
-- Reply: the ids that were found.
--
-- A script that fails is not rolled back. So that no job is lost, a job is first stored in its new
-- place, then removed from the old one.

local target = ARGV[1]
local ready, back = P .. 'ready:' .. target, P .. 'back:' .. target
local found = {}
-- Jobs to make ready.
local due_jobs = {}
-- Whether the target's list contains all its due delayed jobs. The others come after the list.
local all_listed = true

local function set_queue(id)
  local due, rest = string.match(call('HGET', bodies_of(id), id), '^(%d+) [^\n\t]*(.*)$')
  call('HSET', bodies_of(id), id, due .. ' ' .. target .. rest)
  call('HDEL', GRANTED, id)
end

-- Move a failed, delayed or released job, which stays so. Returns false for all other jobs.
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

-- Put a job into its place among the ready jobs of the target.
local function make_ready(id, due)
  local last = call('LINDEX', ready, -1)
  if call('HDEL', P .. 'gone:' .. target, id) == 1 then  -- it returns to its place
  elseif not last or is_behind(target, last, due, id) then
    call('ZADD', back, digits(due), id)
  elseif all_listed then
    call('RPUSH', ready, id)
  else
    call('ZADD', P .. 'delayed:' .. target, digits(due), id)
  end
  set_queue(id)
end

-- Whether a job is in one of the places from which `move` makes it ready.
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
if #due_jobs > 0 then
  activate(target)
  all_listed = promote(target) < BATCH
  for _, job in ipairs(due_jobs) do
    make_ready(job.id, job.due)
    if not leave_place(job.queue, job.id) then leave_list(job.queue, job.id, job.due) end
    found[#found + 1] = job.id
  end
  wake(target, #due_jobs)
end
return found
