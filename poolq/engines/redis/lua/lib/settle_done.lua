-- Part `settle_done` (needs `counters`, `effects`, `gates`): end the claims of jobs that are done. A claim is held
-- while the job's field in the worker's hash begins with the claim's name, "<request> <index> ".
--
-- Arguments from ARGV[at] on: the number of runs of finished jobs, then each run: its queue,
-- request, index of the first job, "<n>" ("-<n>" if some of them have effects), and n ids (at
-- most 1000) whose indexes are consecutive.

-- Whether any job may have a state that is not fresh; nil if this was not checked yet. Without this
-- variable, and if scripts always made the functions of `gates` and `effects`, plain jobs would
-- cost 6 to 8 % more CPU of client and server, and jobs of a gate, one by one, a fifth more.
local has_states

-- One call checks for both: states count 1, slots of gates count 2.
local function check_states()
  local found = call('EXISTS', STATES, GATED, GATED)
  has_states, any_gated = found % 2 == 1, found >= 2
end

local function any_states()
  if has_states == nil then check_states() end
  return has_states
end

-- Delete the jobs ids[from .. last], at most 1000, which are done, and count them. `tied`: whether some
-- of them may have effects.
local function finish(worker, queue, ids, from, last, tied)
  count('done', queue, call('HDEL', worker, unpack(ids, from, last)))
  if tied then effects().finish(ids, from, last) end
  delete_bodies(ids, from, last)
  if any_states() then call('HDEL', STATES, unpack(ids, from, last)) end
  if any_gated then
    for k, held in ipairs(call('HMGET', GATED, unpack(ids, from, last))) do
      if held then gates().free(ids[from + k - 1], held) end
    end
  end
end

-- Where in ARGV the ids of a run begin and end.
local function ids_of_run(at)
  return at + 4, at + 3 + math.abs(ARGV[at + 3])
end

-- Settle one run. `held`: `before` other values, then the claims of the run's ids.
local function settle_done(worker, at, stale, held, before)
  local queue, request, first = ARGV[at], ARGV[at + 1] .. ' ', ARGV[at + 2]
  local ids, last = ids_of_run(at)
  local tied, ours = tonumber(ARGV[at + 3]) < 0, nil
  for k = 0, last - ids do
    local claim, name = held[before + k + 1], request .. (first + k) .. ' '
    if claim and string.sub(claim, 1, #name) == name then
      if ours then ours[#ours + 1] = ARGV[ids + k] end
    else
      ours = ours or {unpack(ARGV, ids, ids + k - 1)}
      stale[#stale + 1] = ARGV[ids + k]
    end
  end
  if ours == nil then
    finish(worker, queue, ARGV, ids, last, tied)
  elseif #ours > 0 then
    finish(worker, queue, ours, 1, #ours, tied)
  end
  return last + 1
end

-- Settle all runs. Adds ids to `stale` and returns the position after the runs. `held`: nil, or
-- `before` other values, then the claims of the first run's ids.
local function settle_runs(worker, at, stale, held, before)
  local runs = tonumber(ARGV[at])
  at = at + 1
  for _ = 1, runs do
    if not held then held, before = call('HMGET', worker, unpack(ARGV, ids_of_run(at))), 0 end
    at = settle_done(worker, at, stale, held, before)
    held = nil
  end
  return at
end
