-- Part `settling` (needs `settle_done`, `ready`, `delayed`, `bodies`, `holds`, `limit_windows`,
-- `parked_jobs`, `gates`, `claims`): end claims whose jobs are not done.
--
-- Arguments from ARGV[at] on: the number of these settlements, then eight for each of them: the
-- seven below, and 1 if the job may have effects, else 0:
--   "release"  id name queue  delay  state  counter  state: without due time, but with the time at
--                                                    which the job expires; counter: "" for none
--   "until"    id name queue  until  state  rule     rule: "<limit> <window>:<key>"
--   "back"     id name queue  ""     ""     ""       goes to the head, as if never claimed
--   "requeue"  id name queue  state  counter ""      goes to the head; its slots are used
--   "park"     id name queue  rules  ""     ""       see part `parked_jobs`; without the deploy
--   "hold"     id name queue  key    length rules    holds the key, and parks the job: if rules is
--                                                    "", in the hold's own line
--   "failing"  id name queue  state  ""     ""       the claim is kept
--   "bury"     id name queue  state  ""     ""
--   "discard"  id name queue  ""     ""     ""       deletes the job
--   "expire"   id name queue  ""     ""     ""       deletes the job
--   "cancel"   id name queue  ""     ""     ""       deletes the job
--
-- A script that fails, for example at a key of the wrong type, is not rolled back. To lose no job,
-- a script first puts the job where it belongs, then ends its claim, then does everything else.

local function set_state(id, due, state)
  has_states = true
  call('HSET', STATES, id, due .. ' ' .. state)
end

local function due_of(id)
  local state = call('HGET', STATES, id)
  return state and string.match(state, '^%d+') or '0'
end

-- Returns whether the job has effects; nil if this is not known.
local function put_back(queue, id)
  local _, due, has_effects = origin_of(id)
  activate(queue)
  call('ZADD', P .. 'back:' .. queue, digits(due or 0), id)
  return has_effects
end

-- Put a job whose claim is ending at the head of its queue, before jobs that were never claimed. It
-- keeps its due time, and its slots if they still count.
local function give_back(queue, id, how)
  local from, to = string.match(how, '^(%d+):(%d+)$')
  if to and tonumber(from) <= now and now < tonumber(to) then call('HSET', GRANTED, id, how) end
  return put_back(queue, id)
end

-- Each function puts a job where it belongs, and returns the hint for `wake` (nil if nobody needs
-- to be woken), the name of the counter to increment, and false if it has seen that the job has no
-- effects.
local SETTLERS = {
  back = function(queue, id, how)
    return 1, nil, give_back(queue, id, how)
  end,
  requeue = function(queue, id, _, state, counter)
    set_state(id, due_of(id), state)
    return 1, counter, put_back(queue, id)
  end,
  release = function(queue, id, _, pause, state, counter)
    local due = now + math.max(0, tonumber(pause))
    set_state(id, digits(due), state)
    if due > now then return add_delayed(queue, id, due), counter end
    activate(queue)
    return append(queue, {id}), counter
  end,
  ['until'] = function(queue, id, _, moment, state, rule)
    local _, due = origin_of(id)
    set_state(id, due_of(id), state)
    moment = tonumber(moment)
    local length = tonumber(string.match(rule, '^%d+ %-?(%d+):') or 0)
    -- No limit releases a job for longer, even with jitter: the clock has gone back.
    local is_valid = moment <= now + 2 * length
    if moment > now and is_valid then return hold(queue, id, due or 0, moment, rule) and 0, 'limited' end
    put_back(queue, id)
    return 1, 'limited'
  end,
  park = function(queue, id, _, text, _, _, worker)
    local _, due = origin_of(id)
    local deploy = deploy_of(worker)
    text = string.gsub(text, '\n', ' ' .. digits(deploy) .. '\n', 1)
    local _, rule = parse_rules(text)
    call('HSET', P .. 'parkrules:' .. queue, id, text)
    name_line(queue, identity_of(rule), rule.limit, deploy)
    return join_line(queue, id, due or 0, rule) and 0, 'parked'
  end,
  bury = function(queue, id, _, state)
    -- If the body is lost, store an empty one, so that the failed job can be found.
    call('HSETNX', bodies_of(id), id, stamp .. ' ' .. queue .. '\n')
    set_state(id, due_of(id), state)
    add_failed(queue, id, stamp)
    return nil, 'failed'
  end,
  discard = function(_, id)
    delete_jobs({id}, 1, 1)
    return nil, 'discarded'
  end,
  expire = function(_, id)
    delete_jobs({id}, 1, 1)
    return nil, 'expired'
  end,
}

SETTLERS.hold = function(queue, id, how, key, length, text, worker)
  set_hold(key, tonumber(length))
  if text ~= '' then return SETTLERS.park(queue, id, how, text, nil, nil, worker) end
  return join_hold(queue, id, key) and 0, 'parked'
end

-- Free the slots of gates, if any, of a job whose claim has ended.
local function leave_gates(id)
  if any_gated == nil then check_states() end
  local held = any_gated and call('HGET', GATED, id)
  if held then gates().free(id, held) end
end

-- End the claim of a cancelled job, and delete the job.
local function finish_cancelled(worker, queue, id)
  call('HDEL', worker, id)
  delete_jobs({id}, 1, 1)
  call('HDEL', P .. 'cancels', id)
  leave_gates(id)
  count('cancelled', queue, 1)
end

local function settle_others(worker, at, stale)
  for i = at + 1, at + 8 * tonumber(ARGV[at]), 8 do
    local kind, id, name, queue = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
    local how = holds(worker, id, name)
    if not how then
      stale[#stale + 1] = id
    elseif kind == 'cancel' then
      finish_cancelled(worker, queue, id)
    elseif is_cancelled(how) and kind ~= 'failing' and kind ~= 'bury' then
      finish_cancelled(worker, queue, id)
      stale[#stale + 1] = id
    elseif kind == 'failing' then
      set_state(id, due_of(id), ARGV[i + 4])
    else
      local hint, counter, has_effects =
        SETTLERS[kind](queue, id, how, ARGV[i + 4], ARGV[i + 5], ARGV[i + 6], worker)
      call('HDEL', worker, id)
      leave_gates(id)
      if ARGV[i + 7] == '1' and has_effects ~= false then
        if kind == 'bury' then
          effects().finish({id}, 1, 1)
        elseif kind ~= 'discard' and kind ~= 'expire' then
          effects().requeue(id)
        end
      end
      if hint then wake(queue, hint) end
      if counter and counter ~= '' then count(counter, queue, 1) end
    end
  end
end
