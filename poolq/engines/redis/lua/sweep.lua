#!lua flags=allow-oom
-- Forget what nobody needs: windows that have ended, and queues that have held no job for long.
-- Parts: base, tokens, known_queues, ready, later, bodies, windows, lines.
--
-- ARGV: for how many microseconds.
-- Reply: 1 if there may be more to forget now, else 0.
--
-- That a queue holds nothing is only found out here. So it is noted in `idle` first, and forgotten when
-- it has been there for so long; who puts a job into it takes it out of there.

local WINDOWS, QUEUES = 500, 100
local known, idle, windows = P .. 'queues', P .. 'idle', P .. 'windows'
local before = '(' .. digits(now - tonumber(ARGV[1]))

local running

local function holds_any(queue)
  local found = call('EXISTS', P .. 'ready:' .. queue, P .. 'back:' .. queue, P .. 'delayed:' .. queue,
    P .. 'lines:' .. queue, P .. 'failed:' .. queue)
  running = running or running_jobs()
  return found > 0 or running[queue] ~= nil
end

-- It goes on, and whatever it has is found by those who serve all queues, however it came there.
local function keep(queue)
  call('ZADD', known, stamp, queue)
  if call('SISMEMBER', P .. 'paused', queue) == 1 then return end
  if ready_in(queue) > 0 then activate(queue) end
  set_later(queue)
end

local function forget(queue)
  local counters = P .. 'counters'
  for _, counter in ipairs(COUNTERS) do
    local number = call('HGET', counters, counter .. ' ' .. queue)
    if number then
      redis.pcall('HINCRBY', counters, counter .. ' ', number)  -- maybe neither is a number
      call('HDEL', counters, counter .. ' ' .. queue)
    end
  end
  call('DEL', P .. 'wake:' .. queue)
  call('ZREM', idle, queue)
end

heed_clock()
local ended = call('ZRANGE', windows, '-inf', stamp, 'BYSCORE', 'LIMIT', 0, WINDOWS)
if #ended > 0 then call('ZREM', windows, unpack(ended)) end

local noted = 0
local old = call('ZRANGE', known, '-inf', before, 'BYSCORE', 'LIMIT', 0, QUEUES)
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

local gone = call('ZRANGE', idle, '-inf', digits(now - tonumber(ARGV[1])), 'BYSCORE', 'LIMIT', 0, QUEUES)
for _, queue in ipairs(gone) do forget(queue) end

local more = #ended == WINDOWS or #gone == QUEUES or (#old == QUEUES and noted > 0)
return more and 1 or 0
