-- Part `schedules` (needs only `base`): periodic jobs, and which nodes declare them.

local SCHEDULES, TICKS = P .. 'schedules', P .. 'ticks'
-- When nobody looks at a schedule, because it is paused, or no living node declares it.
local NEVER = '9007199254740991'
-- The hash of a schedule whose code is gone. Its `due` is when it went.
local REMOVED = '0'

-- What follows the head of a stored schedule, at most: see poolq/common/lengths.py.
local MAX_SPEC_BYTES = 262144

-- A stored schedule, with numbers as text; nil if there is none that can be read.
local function read_schedule(name)
  local hash, declared, paused, due, last, ticks, skipped, job, spec = string.match(
    call('HGET', SCHEDULES, name) or '',
    '^(%x+) ([01]) ([01]) (%d+) (%d+) (%d+) (%d+) ([^ \n]*)\n(.*)$')
  if not hash or #spec > MAX_SPEC_BYTES then return nil end
  return {
    name = name, hash = hash, declared = declared, paused = paused, due = due, last = last,
    ticks = ticks, skipped = skipped, job = job, spec = spec,
  }
end

local function write_schedule(one)
  local head = table.concat({
    one.hash, one.declared, one.paused, one.due, one.last, one.ticks, one.skipped, one.job,
  }, ' ')
  call('HSET', SCHEDULES, one.name, head .. '\n' .. one.spec)
end

-- Store a schedule under this name, or what it is to become. A paused one stays paused.
local function put_schedule(name, hash, due, spec, declared)
  local one = read_schedule(name)
    or {name = name, paused = '0', last = '0', ticks = '0', skipped = '0', job = ''}
  one.hash, one.due, one.spec, one.declared = hash, due, spec, declared
  write_schedule(one)
  call('ZADD', TICKS, one.paused == '1' and NEVER or due, name)
end

-- Set a schedule aside whose code is gone. Its pause and its counters stay.
local function mark_removed(one)
  if one.hash == REMOVED then return end
  one.hash, one.due = REMOVED, stamp
  write_schedule(one)
  call('ZADD', TICKS, NEVER, one.name)
end

local function delete_schedule(name)
  call('HDEL', SCHEDULES, name)
  call('ZREM', TICKS, name)
end

-- Whether a living node other than `except` declares this hash of a schedule, or any if it is nil.
local function is_declared(name, hash, except)
  for _, node in ipairs(call('HKEYS', P .. 'nodes')) do
    local found = node ~= except and call('HGET', P .. 'declared:' .. node, name)
    if found and (hash == nil or found == hash) then return true end
  end
  return false
end

-- Whether a later generation of a node's code has begun to declare its schedules.
local function is_overtaken(node, generation)
  local last = string.match(call('HGET', P .. 'declared:' .. node, '') or '', '^(%d+) ')
  return last and tonumber(last) > tonumber(generation)
end

-- Declare a schedule for a node. Returns 'enacted' if it is stored, 'pending' if another node
-- declares the one that is stored, and 'taken' if a person has given its name to another, for whose
-- end it waits.
local function declare(node, name, hash, due, spec)
  call('HSET', P .. 'declared:' .. node, name, hash)
  call('HDEL', P .. 'pending:' .. node, name)
  local one = read_schedule(name)
  if one and one.declared == '0' then
    call('HSET', P .. 'pending:' .. node, name, hash .. '\n' .. spec)
    return 'taken'
  end
  if one and one.hash == hash then
    -- It may have been set aside.
    local at = tonumber(call('ZSCORE', TICKS, name) or NEVER)
    if one.paused == '0' and digits(at) == NEVER then call('ZADD', TICKS, one.due, name) end
    return 'enacted'
  end
  if one and is_declared(name, one.hash, node) then
    call('HSET', P .. 'pending:' .. node, name, hash .. '\n' .. spec)
    return 'pending'
  end
  local is_waiting = one and one.hash ~= REMOVED and one.paused == '0' and tonumber(one.due) <= now
  put_schedule(name, hash, is_waiting and one.due or due, spec, '1')
  return 'enacted'
end

-- A schedule as the reply of a script; see `RedisSchedules`.
local function shown_schedule(one)
  local at = call('ZSCORE', TICKS, one.name)
  return {
    one.name, one.hash, one.spec, one.due, at and digits(tonumber(at)) or NEVER, one.declared,
    one.paused, one.last, one.job, one.ticks, one.skipped,
  }
end
