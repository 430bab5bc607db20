-- Part `gate_slots` (needs `wake_tokens`, `gates`): slots of gates become free. The functions are made
-- when they are needed, as in part `gates`.

local slot_functions

local function gate_slots()
  if slot_functions then return slot_functions end
  local S = {}
  slot_functions = S

  -- Try the lines that wait for a gate, if it has room. They exist, so their queues are known.
  function S.open_lines(key)
    local queues = call('SMEMBERS', P .. 'gatequeues:' .. key)
    if #queues == 0 or not gates().has_room(key, gates().limit(key) or 1) then return end
    local identity = GATE_PREFIX .. key
    for _, queue in ipairs(queues) do
      local scheduled = call('ZSCORE', P .. 'lines:' .. queue, identity)
      if scheduled and tonumber(scheduled) > now then
        if call('ZADD', ACTIVE, 0, queue) == 1 then
          call('ZADD', P .. 'known', stamp, queue)
          call('ZREM', P .. 'idle', queue)
        end
        call('ZADD', P .. 'lines:' .. queue, stamp, identity)
        wake(queue, 1)
      end
    end
  end

  -- Free the slots of a job whose claim has ended. `held`: its gates, as stored in `gated`.
  function S.free(id, held)
    call('HDEL', GATED, id)
    gates().each(held, function(key)
      local slots, waiting = P .. 'gate:' .. key, P .. 'gatequeues:' .. key
      call('HDEL', slots, id)
      local found = call('EXISTS', slots, waiting, waiting)  -- jobs that wait count 2
      if found > 1 then S.open_lines(key) elseif found == 0 then call('HDEL', GATES, key) end
    end)
  end

  -- Free the slots of claims whose jobs have ended. `ended`: as in `admit_gated`.
  function S.leave_ended(ended)
    for name, id in string.gmatch(ended, '(%d+ %d+ )([^\n]+)') do
      local held = gates().leave(id, name, ARGV[1])
      if held then S.free(id, held) end
    end
  end

  return S
end
