-- Part `settling` (needs `ready`, `limits`, `parking`, `bodies`): end claims of the worker whose hash is
-- WORKER. A claim counts while its field begins with its name, "<request> <index> ".
--
-- Arguments from ARGV[at] on: the number of runs of finished jobs, each "<queue>", "<request>", the
-- index of the first, "<n>", n ids (at most 1000), whose indexes follow one another; then the number of other settlements, each of seven:
--   "release"  id name queue  delay  state  counter  state is without due; counter "": none
--   "back"     id name queue  ""     ""     ""       to the head, as if never claimed
--   "park"     id name queue  rules  ""     ""       see part `parking`
--   "failing"  id name queue  state  ""     ""       the claim is kept
--   "bury"     id name queue  state  ""     ""

local function count(counter, queue, by)
  call('HINCRBY', P .. 'counters', counter .. ' ' .. queue, by)
end

-- Jobs that are done, at most 1000: gone without a trace but their number.
local function finish(worker, queue, ...)
  count('done', queue, call('HDEL', worker, ...))
  call('HDEL', BODIES, ...)
  if call('EXISTS', STATES) == 1 then call('HDEL', STATES, ...) end
end

local function settle_done(worker, at, stale)
  local queue, request, first, n = ARGV[at], ARGV[at + 1] .. ' ', ARGV[at + 2], tonumber(ARGV[at + 3])
  local ids, after = at + 4, at + 4 + n
  local held, ours = call('HMGET', worker, unpack(ARGV, ids, after - 1)), nil
  for k = 0, n - 1 do
    local claim, name = held[k + 1], request .. (first + k) .. ' '
    if claim and string.sub(claim, 1, #name) == name then
      if ours then ours[#ours + 1] = ARGV[ids + k] end
    else
      ours = ours or {unpack(ARGV, ids, ids + k - 1)}
      stale[#stale + 1] = ARGV[ids + k]
    end
  end
  if ours == nil then
    finish(worker, queue, unpack(ARGV, ids, after - 1))
  elseif #ours > 0 then
    finish(worker, queue, unpack(ours))
  end
  return after
end

local function set_state(id, due, state)
  call('HSET', STATES, id, due .. ' ' .. state)
end

local function due_of(id)
  local state = call('HGET', STATES, id)
  return state and string.match(state, '^%d+') or '0'
end

-- A job whose claim has ended goes before all that were not claimed, with its due time.
local function give_back(queue, id)
  local _, due = origin_of(id)
  call('ZADD', P .. 'back:' .. queue, digits(due or 0), id)
  wake(queue, 1)
end

local SETTLE = {
  back = give_back,
  release = function(queue, id, pause, state, counter)
    local due = now + math.max(0, tonumber(pause))
    set_state(id, digits(due), state)
    if due > now then
      delay(queue, id, due)
    else
      wake(queue, append(queue, {id}))
    end
    if counter ~= '' then count(counter, queue, 1) end
  end,
  park = function(queue, id, rules)
    park(queue, id, rules)
    count('parked', queue, 1)
  end,
  bury = function(queue, id, state)
    call('HSETNX', BODIES, id, stamp .. ' ' .. queue .. '\n')  -- a lost body must not hide the job
    set_state(id, due_of(id), state)
    call('ZADD', P .. 'failed:' .. queue, stamp, id)
    count('failed', queue, 1)
  end,
}

local function settle(worker, at)
  local stale = {}
  local runs = tonumber(ARGV[at])
  at = at + 1
  for _ = 1, runs do at = settle_done(worker, at, stale) end
  for i = at + 1, at + 7 * tonumber(ARGV[at]), 7 do
    local kind, id, name, queue = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
    if not holds(worker, id, name) then
      stale[#stale + 1] = id
    elseif kind == 'failing' then
      set_state(id, due_of(id), ARGV[i + 4])
    else
      call('HDEL', worker, id)
      SETTLE[kind](queue, id, ARGV[i + 4], ARGV[i + 5], ARGV[i + 6])
    end
  end
  return stale
end
