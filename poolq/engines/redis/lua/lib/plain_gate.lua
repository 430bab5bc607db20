-- Part `plain_gate`, only in `admit_gated` (needs `claims`, `gates`): what nearly every admission of a
-- gate is, a start under a single gate that has room and for which no job waits, while no key is held.
-- At most one job of the worker has ended, and it had the slot of one gate, for which no job waits,
-- either. The script ends here, because creating the functions of the following parts would take
-- longer.

local count = tonumber(ARGV[4])
local at = 5 + 2 * count  -- of the first rule
local most, key = tonumber(ARGV[at]), ARGV[at + 2]
if count < 2 and #ARGV == at + 2 and most and tonumber(ARGV[at + 1]) == GATE_WINDOW then
  local worker, slots = P .. 'worker:' .. ARGV[1], P .. 'gate:' .. key
  local held, waiting = P .. 'holds', P .. 'gatequeues:' .. key
  -- The worker counts 1, anything else counts 2.
  local is_plain = call('EXISTS', worker, held, held, waiting, waiting) == 1
  local how = is_plain and holds(worker, ARGV[2], ARGV[3])
  local ended, left, room = count == 1 and ARGV[5], nil, most - 1
  local gates_left = how and ended and call('HGET', GATED, ended)
  if gates_left then
    local size, name = string.match(gates_left, '^(%d+):(.*)$')
    left = name and P .. 'gate:' .. name
    is_plain = name and tonumber(size) == #name and call('HGET', left, ended) == ARGV[6] .. ARGV[1]
    if name == key then
      room = most
    elseif is_plain then
      is_plain = call('EXISTS', P .. 'gatequeues:' .. name) == 0
    end
  end
  if is_plain and how and not is_cancelled(how) and call('HLEN', slots) <= room then
    local taken = tonumber(string.match(call('HGET', GATES, key) or '', '^%d+ (%d+)$')) or 0
    if left then
      call('HDEL', left, ended)
      call('HDEL', GATED, ended)
      if left ~= slots and call('EXISTS', left) == 0 then
        call('HDEL', GATES, string.sub(left, #P + 6))
      end
    end
    taken = taken + call('HSET', slots, ARGV[2], ARGV[3] .. ARGV[1])
    call('HSET', GATES, key, digits(most) .. ' ' .. digits(taken))
    call('HSET', GATED, ARGV[2], #key .. ':' .. key)
    return {0, -1, 0}
  end
end
