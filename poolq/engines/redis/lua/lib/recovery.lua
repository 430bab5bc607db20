-- Part `recovery` (needs `settling` and what that needs): what a dead worker held goes
-- back, and its registration goes.

-- As poolq/message.py has it: the first line and the last 19 are kept.
local HISTORY_KEPT = 20

local function with_line(history, line)
  local lines = {}
  for old in string.gmatch(history, '[^\n]+') do lines[#lines + 1] = old end
  lines[#lines + 1] = line
  while #lines > HISTORY_KEPT do table.remove(lines, 2) end
  return table.concat(lines, '\n')
end

local function charge(id, line)
  local due, attempt, crashes, failing, history =
    string.match(call('HGET', STATES, id) or '0 0 0 0\n', '^(%d+) (%d+) (%d+) (%d+)\n?(.*)$')
  if failing == '0' then crashes = crashes + 1 else failing = failing + 1 end
  local head = table.concat({due, attempt, crashes, failing}, ' ')
  call('HSET', STATES, id, head .. '\n' .. with_line(history, line))
end

local function claims_held(worker)
  local claims, all = {}, call('HGETALL', worker)
  for i = 1, #all, 2 do
    local request, index, queue = string.match(all[i + 1], '^(%d+) (%d+) %d %d+ (.*)$')
    if string.sub(all[i], 1, 1) ~= '#' and request then
      claims[#claims + 1] =
        {request = tonumber(request), index = tonumber(index), queue = queue, id = all[i]}
    end
  end
  table.sort(claims, function(a, b)
    if a.request == b.request then return a.index < b.index end
    return a.request < b.request
  end)
  return claims
end

-- A history line made for any worker at any time: `{"at":0` begins it and `"worker":"?"` is in it.
local function line_for(name, line)
  line = string.gsub(line, '^{"at":0', '{"at":' .. stamp)
  return (string.gsub(line, '"worker":"%?"', function() return '"worker":' .. cjson.encode(name) end))
end

-- `death`: {request, finished, started} or nil; `line`: the history line of the crashed claim.
-- Adds ids to `fates`.
local function recover(name, death, line, fates)
  local worker = P .. 'worker:' .. name
  for i, claim in ipairs(claims_held(worker)) do
    local known = death and claim.request == death.request
    if known and claim.index < death.finished then
      finish(worker, claim.queue, claim.id)
      fates.done[#fates.done + 1] = claim.id
    else
      local fate = fates.returned
      if known and claim.index == death.started or not death and i == 1 then
        charge(claim.id, line_for(name, line))
        count('crashed', claim.queue, 1)
        fate = fates.crashed
      end
      fate[#fate + 1] = claim.id
      give_back(claim.queue, claim.id)
    end
  end
  call('SREM', P .. 'node:' .. call('HGET', worker, '#node'), name)
  call('HDEL', P .. 'workers', name)
  call('DEL', worker)
end
