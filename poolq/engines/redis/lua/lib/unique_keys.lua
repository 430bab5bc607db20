-- Part `unique_keys`: the effect of a unique job (see part `effects`), its key, see
-- poolq/jobs/unique.py. It is stored with the job as "<until> <key>". unique:<key> has the id of the
-- job that has the key, or "<ends> <id>" if the key is held for a time.

local key_functions

local function unique_keys()
  if key_functions then return key_functions end
  local T = {}
  key_functions = T

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

  function T.start(id, till, key)
    if till == 'start' then free(id, P .. 'unique:' .. key) end
  end

  function T.finish(id, _, key)
    free(id, P .. 'unique:' .. key)
  end

  function T.requeue(id, till, key)
    local name = P .. 'unique:' .. key
    if till ~= 'time' and not T.holder(name) then T.give(name, id, 0) end
  end

  -- The keys that `retry` has given away.
  local taken = {}

  function T.retry(id, till, key)
    local name = P .. 'unique:' .. key
    if till == 'time' then return true end
    if taken[name] or T.holder(name) then return false end
    taken[name] = true
    T.give(name, id, 0)
    return true
  end

  return T
end
