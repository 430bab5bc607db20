#!lua flags=allow-oom
-- Forget ended windows and holds, unused gates, and queues that have held no job for some time.
-- Parts: known_queues, clock_jumps.
--
-- ARGV: for how many microseconds a queue must have held no job.
-- Reply: 1 if there may be more to forget, else 0.
--
-- Only this script notices that a queue holds nothing. It moves the queue to `idle`, and forgets it
-- when it has been there for the given time. Storing a job in the queue removes it from `idle`.

local MAX_WINDOWS, MAX_QUEUES, MAX_SCANNED = 500, 100, 100
local known, idle, windows = P .. 'known', P .. 'idle', P .. 'windows'
local since = digits(now - tonumber(ARGV[1]))

local running

local function holds_any(queue)
  local found = call('EXISTS', P .. 'ready:' .. queue, P .. 'back:' .. queue, P .. 'delayed:' .. queue,
    P .. 'lines:' .. queue, P .. 'failed:' .. queue)
  running = running or running_jobs()
  return found > 0 or running[queue] ~= nil
end

-- Keep a queue, and make sure that workers that serve all queues find its jobs.
local function keep(queue)
  call('ZADD', known, stamp, queue)
  if count_listed(queue) == 0 then call('UNLINK', P .. 'ready:' .. queue, P .. 'gone:' .. queue) end
  if call('SISMEMBER', P .. 'paused', queue) == 1 then return end
  if count_ready(queue) > 0 then activate(queue) end
  update_later(queue)
end

local function forget(queue)
  local counters = P .. 'counters'
  for _, counter in ipairs(COUNTERS) do
    local number = call('HGET', counters, counter .. ' ' .. queue)
    if number then
      redis.pcall('HINCRBY', counters, counter .. ' ', number)  -- either may not be a number
      call('HDEL', counters, counter .. ' ' .. queue)
    end
  end
  call('DEL', P .. 'wake:' .. queue)
  call('ZREM', idle, queue)
end

check_clock()
local ended = call('ZRANGE', windows, '-inf', stamp, 'BYSCORE', 'LIMIT', 0, MAX_WINDOWS)
if #ended > 0 then call('ZREM', windows, unpack(ended)) end

local unfinished = false

-- Call `visit` with some fields of a hash and their values, and note where the next sweep continues.
local function scan(hash, visit)
  local cursor, found =
    unpack(call('HSCAN', hash, call('HGET', P .. 'swept', hash) or '0', 'COUNT', MAX_SCANNED))
  for i = 1, #found, 2 do visit(found[i], found[i + 1]) end
  if cursor == '0' then
    call('HDEL', P .. 'swept', hash)
  else
    call('HSET', P .. 'swept', hash, cursor)
    unfinished = true
  end
end

-- Slots are void only if somebody has damaged their claims.
scan(GATES, function(key, stored)
  if gates().drop_void(key) > 0 then gates().open_lines(key) end
  gates().forget(key, stored)
end)
-- An ended hold may still be in the hash if other holds have kept the hash from expiring.
scan(HOLDS, function(key, hold)
  if end_of_hold(hold) == 0 then call('HDEL', HOLDS, key) end
end)

local noted = 0
local old = call('ZRANGE', known, '-inf', '(' .. since, 'BYSCORE', 'LIMIT', 0, MAX_QUEUES)
for _, queue in ipairs(old) do
  if holds_any(queue) then
    keep(queue)
  else
    noted = noted + 1
    call('ZADD', idle, stamp, queue)
    call('ZREM', known, queue)
    call('ZREM', ACTIVE, queue)
    call('ZREM', LATER, queue)
  end
end

local gone = call('ZRANGE', idle, '-inf', since, 'BYSCORE', 'LIMIT', 0, MAX_QUEUES)
for _, queue in ipairs(gone) do forget(queue) end

local more = unfinished or #ended == MAX_WINDOWS or #gone == MAX_QUEUES or (#old == MAX_QUEUES and noted > 0)
return more and 1 or 0
