-- Part `recovery` (needs `settling`): return the claims of a dead worker, delete its registration.

-- The first line and the last 19 are kept, as in poolq/jobs/message.py.
local HISTORY_KEPT = 20

local function append_history(history, line)
  local lines = {}
  for old in string.gmatch(history, '[^\n]+') do lines[#lines + 1] = old end
  lines[#lines + 1] = line
  while #lines > HISTORY_KEPT do table.remove(lines, 2) end
  return table.concat(lines, '\n')
end

-- Add a line to the history. A job that was given back counts as nothing. Any other counts in
-- `failing` if it is failing, else as an attempt if it timed out, else as a crash. Returns whether
-- an attempt was counted.
local function charge(id, line, ending)
  local due, attempt, crashes, failing, expires, history =
    string.match(call('HGET', STATES, id) or '0 0 0 0\n', '^(%d+) (%d+) (%d+) (%d+)( ?%d*)\n?(.*)$')
  if not due then  -- unreadable
    due, attempt, crashes, failing, expires, history = '0', 0, 0, '0', '', ''
  end
  local counts = ending == 'timeout' and failing == '0'
  if ending == 'returned' then  -- counts as nothing
  elseif counts then attempt = attempt + 1
  elseif failing == '0' then crashes = crashes + 1
  else failing = failing + 1 end
  local head = table.concat({due, attempt, crashes, failing}, ' ') .. expires
  call('HSET', STATES, id, head .. '\n' .. append_history(history, line))
  return counts
end

local function retry_later(queue, id, pause)
  local due = now + pause
  set_state(id, digits(due), string.match(call('HGET', STATES, id), '^%d+ (.*)$'))
  return add_delayed(queue, id, due)
end

local function claims_held(worker)
  local claims, all = {}, call('HGETALL', worker)
  for i = 1, #all, 2 do
    local request, index, how, queue =
      string.match(all[i + 1], '^(%d+) (%d+) ([^ ]+) %d+ (.*)$')
    if string.sub(all[i], 1, 1) ~= '#' and request then
      claims[#claims + 1] = {
        request = tonumber(request), index = tonumber(index), how = how, queue = queue, id = all[i]
      }
    end
  end
  table.sort(claims, function(a, b)
    if a.request == b.request then return a.index < b.index end
    return a.request < b.request
  end)
  return claims
end

-- Fill in the time and the worker of a history line if it was made without them, and so begins with
-- `{"at":0` and contains `"worker":"?"`.
local function history_line(name, line)
  line = string.gsub(line, '^{"at":0', '{"at":' .. stamp)
  local worker = '"worker":' .. cjson.encode(name)
  return (string.gsub(line, '"worker":"%?"', function() return worker end))
end

-- The ids of the claims that this script recovers.
local outcomes = {done = {}, crashed = {}, returned = {}, timed_out = {}, cancelled = {}}

-- `death`: {request, finished, started, settled, ending, delay} or nil; `ending`: how the
-- running job ended. `line`: the running job's history line. Claims of lower requests, or with an
-- index below `settled`, were settled, but the store has lost the settlements, so these jobs are
-- given back. Adds ids to `outcomes`.
local function recover(name, death, line)
  local worker = P .. 'worker:' .. name
  if call('TYPE', worker).ok ~= 'hash' then call('DEL', worker) end  -- evicted, or written by hand
  for i, claim in ipairs(claims_held(worker)) do
    local known = death and claim.request == death.request
    local ran = known and claim.index >= death.settled and claim.index < death.finished
    local running = known and claim.index == death.started or not death and i == 1
    local ending = running and (death and death.ending or 'crash')
    if ran then
      finish(worker, claim.queue, {claim.id}, 1, 1, true)
      outcomes.done[#outcomes.done + 1] = claim.id
    elseif ending == 'cancelled' or is_cancelled(claim.how) then
      finish_cancelled(worker, claim.queue, claim.id)
      outcomes.cancelled[#outcomes.cancelled + 1] = claim.id
    else
      local fate, pause = outcomes.returned, 0
      if running then
        claim.how = '0'  -- its slots are used
        if charge(claim.id, history_line(name, line), ending) then
          fate, pause = outcomes.timed_out, death.delay
          count('retried', claim.queue, 1)
        elseif ending ~= 'returned' then
          fate = outcomes.crashed
          count('crashed', claim.queue, 1)
        end
      end
      fate[#fate + 1] = claim.id
      local hint = 1
      if pause > 0 then
        hint = retry_later(claim.queue, claim.id, pause)
      else
        give_back(claim.queue, claim.id, claim.how)
      end
      call('HDEL', worker, claim.id)
      leave_gates(claim.id)
      unique_keys().take_again(claim.id)
      if hint then wake(claim.queue, hint) end
    end
  end
  local node = call('HGET', worker, '#node') or call('HGET', P .. 'workers', name)
  if node then redis.pcall('SREM', P .. 'node:' .. node, name) end
  call('HDEL', P .. 'workers', name)
  call('DEL', worker)
end

local function recovered()
  return {outcomes.done, outcomes.crashed, outcomes.returned, outcomes.timed_out, outcomes.cancelled}
end
