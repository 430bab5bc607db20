-- Part `schedules`: periodic jobs, and which nodes declare them.

local SCHEDULES, TICKS, HIDDEN = P .. 'schedules', P .. 'ticks', P .. 'hidden'
-- The tick of a schedule that nobody looks at, because it is paused or no living node declares it.
local NEVER = '9007199254740991'
-- The hash of a schedule whose code is gone. The schedule's `due` is when it was marked so.
local REMOVED = '0'

-- The greatest length of a stored schedule's spec, see poolq/common/lengths.py.
local MAX_SPEC_BYTES = 262144

-- A stored schedule, with numbers as text; nil if there is none that can be read.
local function read_schedule(name)
  local hash, deploy, declared, paused, due, last, ticks, skipped, job, spec = string.match(
    call('HGET', SCHEDULES, name) or '',
    '^(%x+) (%d+) ([01]) ([01]) (%d+) (%d+) (%d+) (%d+) ([^ \n]*)\n(.*)$')
  if not hash or #spec > MAX_SPEC_BYTES then return nil end
  return {
    name = name, hash = hash, deploy = deploy, declared = declared, paused = paused, due = due,
    last = last, ticks = ticks, skipped = skipped, job = job, spec = spec,
  }
end

local function write_schedule(one)
  local head = table.concat({
    one.hash, one.deploy, one.declared, one.paused, one.due, one.last, one.ticks, one.skipped, one.job,
  }, ' ')
  call('HSET', SCHEDULES, one.name, head .. '\n' .. one.spec)
end

-- Store a schedule, or change the one of this name. It is the code's if `deploy` is given, else a
-- person's. A paused schedule stays paused.
local function put_schedule(name, hash, due, spec, deploy)
  local one = read_schedule(name)
    or {name = name, deploy = '0', paused = '0', last = '0', ticks = '0', skipped = '0', job = ''}
  one.hash, one.due, one.spec = hash, due, spec
  one.deploy, one.declared = deploy or one.deploy, deploy and '1' or '0'
  write_schedule(one)
  call('ZADD', TICKS, one.paused == '1' and NEVER or due, name)
end

-- Mark a schedule as one whose code is gone. Its pause and its counters stay.
local function mark_removed(one)
  if one.hash == REMOVED then return end
  one.hash, one.due, one.deploy = REMOVED, stamp, '0'
  write_schedule(one)
  call('ZADD', TICKS, NEVER, one.name)
end

local function delete_schedule(name)
  call('HDEL', SCHEDULES, name)
  call('HDEL', HIDDEN, name)
  call('ZREM', TICKS, name)
end

local living = nil  -- nodes

-- Whether a living node declares a schedule of this name.
local function is_declared(name)
  living = living or call('HKEYS', P .. 'nodes')
  for _, node in ipairs(living) do
    if call('HEXISTS', P .. 'declared:' .. node, name) == 1 then return true end
  end
  return false
end

-- A schedule as the reply of a script; see `RedisSchedules`.
local function shown_schedule(one)
  local at = call('ZSCORE', TICKS, one.name)
  return {
    one.name, one.hash, one.spec, one.due, at and digits(tonumber(at)) or NEVER, one.declared,
    one.paused, one.last, one.job, one.ticks, one.skipped,
  }
end
