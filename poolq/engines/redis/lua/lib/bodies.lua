-- Part `bodies`: jobs that no worker holds.

-- The queue that a job belongs to, when the job is or was due, and whether it has effects; nil if
-- its body is lost.
local function origin_of(id)
  local stored = call('HGET', bodies_of(id), id)
  if not stored then return nil end
  local due, queue, delimiter = string.match(stored, '^(%d+) ([^\n\t]*)([\n\t])')
  if not queue then return nil end
  local state = call('HGET', STATES, id)
  local later = state and tonumber(string.match(state, '^%d+')) or 0
  return queue, later > 0 and later or tonumber(due), delimiter == '\t'
end

-- Note that a job has failed.
local function add_failed(queue, id, at)
  call('SADD', P .. 'failures', queue)
  call('ZADD', P .. 'failed', at, id)
  call('ZADD', P .. 'failed:' .. queue, at, id)
end
