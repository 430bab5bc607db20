-- Part `settling` (needs `done`, `ready`, `limits`, `parking`, `bodies`, `holding`): end claims in other
-- ways than by being done.
--
-- Arguments from ARGV[at] on: the number of these settlements, each of seven:
--   "release"  id name queue  delay  state  counter  state is without due; counter "": none
--   "back"     id name queue  ""     ""     ""       to the head, as if never claimed
--   "park"     id name queue  rules  ""     ""       see part `parking`
--   "failing"  id name queue  state  ""     ""       the claim is kept
--   "bury"     id name queue  state  ""     ""

local function set_state(id, due, state)
  stated = true
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
    -- A lost body must not hide the job.
    call('HSETNX', bodies_of(id), id, stamp .. ' ' .. queue .. '\n')
    set_state(id, due_of(id), state)
    call('ZADD', P .. 'failed:' .. queue, stamp, id)
    count('failed', queue, 1)
  end,
}

local function settle_others(worker, at, stale)
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
end
