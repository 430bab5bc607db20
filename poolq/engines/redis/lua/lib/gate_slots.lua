-- Part `gate_slots` (needs `wake_tokens`, `gates`): slots of gates become free.

-- Whether any job has slots of gates; nil if this was not checked yet.
local any_gated

-- Try the lines that wait for a gate, if it has room. They exist, so their queues are known.
local function open_lines(key)
  local queues = call('SMEMBERS', P .. 'gatequeues:' .. key)
  if #queues == 0 or not gate_has_room(key, gate_limit(key) or 1) then return end
  local identity = GATE_PREFIX .. key
  for _, queue in ipairs(queues) do
    local scheduled = call('ZSCORE', P .. 'lines:' .. queue, identity)
    if scheduled and tonumber(scheduled) > now then
      if call('ZADD', ACTIVE, 0, queue) == 1 then
        call('ZADD', P .. 'queues', stamp, queue)
        call('ZREM', P .. 'idle', queue)
      end
      call('ZADD', P .. 'lines:' .. queue, stamp, identity)
      wake(queue, 1)
    end
  end
end

-- Free the slots of a job whose claim has ended. `held`: its gates, as stored in `gated`.
local function free_slots(id, held)
  call('HDEL', GATED, id)
  each_gate(held, function(key)
    call('HDEL', P .. 'gate:' .. key, id)
    open_lines(key)
    forget_gate(key)
  end)
end

-- Free the slots of claims whose jobs have ended, which begin at ARGV[at] and are as in `admit_gated`.
-- Returns the position after them.
local function leave_ended(at)
  local last = at + 2 * tonumber(ARGV[at])
  for i = at + 1, last, 2 do
    local held = gates_of_ended(ARGV[i], ARGV[i + 1] .. ARGV[1])
    if held then free_slots(ARGV[i], held) end
  end
  return last + 1
end

-- Free the slots, if any, of a job whose claim has ended.
local function leave_gates(id)
  if any_gated == nil then any_gated = call('EXISTS', GATED) == 1 end
  local held = any_gated and call('HGET', GATED, id)
  if held then free_slots(id, held) end
end
