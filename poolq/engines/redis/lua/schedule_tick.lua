#!lua
-- Advance schedules that are due, and store their jobs. This script has no flags, so a full server
-- rejects it before anything has run.
-- Parts: new_jobs, waiting_jobs, schedules.
--
-- ARGV: for each schedule: name, hash, the due tick, the next tick, when to look at it next,
--       "allow", "skip" or "buffer" (the overlap), the last tick that has a job, after how many
--       microseconds to look again if the last job is unfinished, how many ticks have no job, the
--       number of jobs; and for each job its queue, then five arguments as for "a<n>" in `push`.
-- Reply: for each schedule "stored", "skipped", "waiting" or "lost".

local HEAD, JOB = 10, 6  -- how many arguments

replace = replace_waiting

local function is_unfinished(id)
  local queue = id ~= '' and origin_of(id)
  return queue and not call('ZSCORE', P .. 'failed:' .. queue, id)
end

local function is_current(one, hash, expected)
  if not one or one.hash ~= hash or tonumber(one.due) ~= tonumber(expected) or one.paused == '1' then return false end
  local at = tonumber(call('ZSCORE', TICKS, one.name) or NEVER)
  return at <= now
end

-- `jobs`: where the arguments of its `n` jobs are.
local function tick(i, jobs, n)
  local name, hash, expected, next_tick, at, overlap, last, again, left_out = unpack(ARGV, i, i + 8)
  local one = read_schedule(name)
  if not is_current(one, hash, expected) then return 'lost' end
  local held = n > 0 and overlap ~= 'allow' and is_unfinished(one.job)
  if held and overlap == 'buffer' then
    call('ZADD', TICKS, digits(now + tonumber(again)), name)
    return 'waiting'
  end
  local stored = 0
  for job = jobs, held and 0 or jobs + n * JOB - 1, JOB do
    if not store_new(unpack(ARGV, job, job + JOB - 1)) then one.job, stored = ARGV[job + 1], stored + 1 end
  end
  if stored > 0 then one.ticks, one.last = digits(one.ticks + stored), last end
  local skipped = n > 0 and stored == 0
  one.skipped = digits(one.skipped + left_out + (skipped and 1 or 0))
  one.due = next_tick
  write_schedule(one)
  call('ZADD', TICKS, at, name)
  return skipped and 'skipped' or 'stored'
end

local i, reply = 1, {}
while i < #ARGV do
  local n = tonumber(ARGV[i + HEAD - 1])
  reply[#reply + 1] = tick(i, i + HEAD, n)
  i = i + HEAD + n * JOB
end
return reply
