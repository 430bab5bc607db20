-- Part `unique_keys`: the unique keys of jobs, see poolq/jobs/unique.py. A job's key is stored
-- after the job's queue as "<until> <key>". unique:<key> has the id of the job that has the key, or
-- "<ends> <id>" if the key is held for a time. The functions are made only in scripts with unique
-- jobs, because making them takes longer than a short script.

local key_functions

local function unique_keys()
  if key_functions then return key_functions end
  local T = {}
  key_functions = T

  -- A job's `until` and its key; nil if it has no key. `stored`: its body with the line before it.
  local function key_in(stored)
    if not stored or not string.find(stored, '\t', 1, true) then return nil end
    return string.match(stored, '^[^\n\t]*\t(%a+) ([^\n]*)\n')
  end

  -- Call `visit` with each of ids[from .. last] that has a unique key, its key's name and `until`.
  local function each_unique(ids, from, last, visit)
    each_hash(ids, from, last, function(hash, first, to)
      local stored = call('HMGET', hash, unpack(ids, first, to))
      for k = first, to do
        local till, key = key_in(stored[k - first + 1])
        if till then visit(ids[k], P .. 'unique:' .. key, till) end
      end
    end)
  end

  -- The id of the job that has a key, and when the key ends (0: with the job).
  local function holder_of(name)
    local value = redis.pcall('GET', name)
    if type(value) ~= 'string' then return end
    local ends, id = string.match(value, '^(%d+) (.+)$')
    return id or value, tonumber(ends) or 0
  end

  -- Whether a job has expired and is not running, so it will not run any more.
  local function is_too_late(id)
    local state = call('HGET', STATES, id)
    local at = state and tonumber(string.match(state, '^%d+ %d+ %d+ %d+ (%d+)\n'))
    if not at or at > now then return false end
    for _, worker in ipairs(call('HKEYS', P .. 'workers')) do
      if call('HEXISTS', P .. 'worker:' .. worker, id) == 1 then return false end
    end
    return true
  end

  -- Whether a key's time is over, or its job is gone, has failed, or is too late. A poolq without
  -- unique keys may have ended the job and left the key.
  local function is_void(id, ends)
    if ends ~= 0 then return ends <= now or ends > FURTHEST end
    local stored = call('HGET', bodies_of(id), id)
    if not stored then return true end
    local queue = string.match(stored, '^%d+ ([^\n\t]*)[\n\t]')
    if queue ~= nil and call('ZSCORE', P .. 'failed:' .. queue, id) ~= false then return true end
    return is_too_late(id)
  end

  -- The job that has a key; nil if the key is free.
  function T.holder(name)
    local id, ends = holder_of(name)
    if id and not is_void(id, ends) then return id end
  end

  -- Give a key to a job, for a time if `lasts` (microseconds) is above 0.
  function T.give(name, id, lasts)
    if lasts > 0 then
      call('SET', name, digits(now + lasts) .. ' ' .. id, 'PX', digits(math.ceil(lasts / 1000)))
    else
      call('SET', name, id)
    end
  end

  local function free(id, name)
    local holder, ends = holder_of(name)
    if holder == id and ends == 0 then call('DEL', name) end
  end

  -- The claim of this job begins.
  function T.start(id, stored)
    local till, key = key_in(stored)
    if till == 'start' then free(id, P .. 'unique:' .. key) end
  end

  -- This job has failed. Its key becomes free, but stays stored with the job for a retry.
  function T.bury(id)
    each_unique({id}, 1, 1, free)
  end

  -- The jobs ids[from .. last] are about to be deleted.
  function T.finish(ids, from, last)
    each_unique(ids, from, last, free)
  end

  -- This job returns to its queue: it takes its key again, unless another job has it.
  function T.take_again(id)
    each_unique({id}, 1, 1, function(_, name, till)
      if till ~= 'time' and not T.holder(name) then T.give(name, id, 0) end
    end)
  end

  -- Give these failed jobs their keys again. Returns the jobs except those whose keys other jobs
  -- have. `taken`: the names of the keys that this script has given away.
  function T.retakers(ids, taken)
    local refused, free_ids = {}, {}
    each_unique(ids, 1, #ids, function(id, name, till)
      if till == 'time' then return end
      if taken[name] or T.holder(name) then
        refused[id] = true
      else
        taken[name] = true
        T.give(name, id, 0)
      end
    end)
    for _, id in ipairs(ids) do
      if not refused[id] then free_ids[#free_ids + 1] = id end
    end
    return free_ids
  end

  return T
end
