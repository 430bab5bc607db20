-- Part `ticking` (needs `wake_tokens`, `ready`, `delayed`, `bodies`, `schedules`): advance schedules that
-- are due, and store their jobs.
--
-- ARGV: for each schedule: name, hash, the tick that is due, the next tick, when to look at it next,
--       "allow", "skip" or "buffer", the last tick that has a job, in how many microseconds to look
--       again if the job waits for another one, how many ticks have no job, the number of jobs; with
--       rights: the unique key of the job ("": none), how long the key lasts (0: until the job ends), 1
--       if the job replaces a waiting one, else 0; and for each job: id, queue, the time at which it is
--       due, how long after that it expires (0: never), what follows the queue where the body is stored.
-- Reply: for each schedule "stored", "skipped", "waiting" or "lost".

local function store(id, queue, due, expires, stored)
  local at = tonumber(due)
  if tonumber(expires) > 0 then
    local moment = digits(math.max(now, at) + tonumber(expires))
    call('HSET', STATES, id, '0 0 0 0 ' .. moment .. '\n')
  end
  call('HSET', bodies_of(id), id, (at > now and due or stamp) .. ' ' .. queue .. stored)
  if at > now then
    local hint = add_delayed(queue, id, at)
    if hint then wake(queue, hint) end
  else
    local waiting = append(queue, {id})
    activate(queue)
    wake(queue, waiting)
  end
end

local function is_unfinished(id)
  local queue = id ~= '' and origin_of(id)
  return queue and not call('ZSCORE', P .. 'failed:' .. queue, id)
end

local function is_current(one, hash, expected)
  if not one or one.hash ~= hash or tonumber(one.due) ~= tonumber(expected) or one.paused == '1' then return false end
  local at = tonumber(call('ZSCORE', TICKS, one.name) or NEVER)
  return at <= now
end

-- `from`: the first argument of the first job. `take_key`: returns whether a job may be stored.
local function tick(i, from, n, take_key)
  local one, overlap = read_schedule(ARGV[i]), ARGV[i + 5]
  if not is_current(one, ARGV[i + 1], ARGV[i + 2]) then return 'lost' end
  local held = n > 0 and overlap ~= 'allow' and is_unfinished(one.job)
  if held and overlap == 'buffer' then
    call('ZADD', TICKS, digits(now + tonumber(ARGV[i + 7])), one.name)
    return 'waiting'
  end
  local stored = 0
  if not held then
    for at = from, from + 5 * n - 1, 5 do
      if not take_key or take_key(ARGV[at], ARGV[at + 1], i + 10) then
        store(unpack(ARGV, at, at + 4))
        one.job, stored = ARGV[at], stored + 1
      end
    end
  end
  if stored > 0 then
    one.ticks, one.last = digits(one.ticks + stored), ARGV[i + 6]
  end
  one.skipped = digits(one.skipped + ARGV[i + 8] + (n > 0 and stored == 0 and 1 or 0))
  one.due = ARGV[i + 3]
  write_schedule(one)
  call('ZADD', TICKS, ARGV[i + 4], one.name)
  return n > 0 and stored == 0 and 'skipped' or 'stored'
end

-- `more`: how many arguments about rights each schedule has.
local function tick_all(more, take_key)
  local i, reply = 1, {}
  while i < #ARGV do
    local from, n = i + 10 + more, tonumber(ARGV[i + 9])
    reply[#reply + 1] = tick(i, from, n, take_key)
    i = from + 5 * n
  end
  return reply
end
