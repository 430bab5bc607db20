-- Part `plain_gate`, only in `admit_gated` (needs only `base`): what nearly every admission of a gate
-- is, a start under a single gate that has room and for which no job waits, while no key is held. The
-- worker takes a seat (see part `gates`), or keeps its own, unless newer code has named another limit. The
-- script ends here, because creating the functions of the following parts would take longer.

local worker, id, name = P .. 'worker:' .. ARGV[1], ARGV[2], ARGV[3]
local most, key = ARGV[5], ARGV[7]

-- Give the claim a seat, and take away the worker's seat of another gate. Returns false, and changes
-- nothing, if it is not as simple. `ended`: the claim, written as a seat, of another job that has ended
-- and had this seat; '' if there is none.
local function sit(ended)
  local seats, slots = P .. 'seats:' .. key, P .. 'gate:' .. key
  local held, waiting = P .. 'holds', P .. 'gatequeues:' .. key
  local has_slots = call('EXISTS', slots, held, held, waiting, waiting)  -- anything else counts 2
  local claim, deploy = unpack(call('HMGET', worker, id, '#deploy'))
  if has_slots > 1 or not claim or string.sub(claim, 1, #name) ~= name then return false end
  if string.sub(claim, #name + 1, #name + 1) == 'c' then return false end  -- cancelled
  local found = call('HMGET', seats, '#', ARGV[1])
  local seat = found[2]
  if seat == name .. id then return true end  -- asked again
  local named, taken, by, used = string.match(found[1] or '', '^(%d+) (%d+) (%d+) (%d+)$')
  deploy = tonumber(deploy or nil) or 0
  if named and named ~= most and tonumber(by) > deploy then return false end
  taken, used = (taken or 0) + 1, (used or 0) + (seat and 0 or 1)
  local others = 0
  if has_slots == 1 then
    if call('HEXISTS', slots, id) == 1 then return false end
    local limit, newer = string.match(call('HGET', P .. 'gates', key) or '', '^(%d+) %d+ (%d+)$')
    if limit and limit ~= most and tonumber(newer) > deploy then return false end
    others = call('HLEN', slots)
  end
  if used + others > tonumber(most) then return false end
  local last, before, other, rest = seat, key, nil, nil
  if not seat then
    before = call('HGET', worker, '#seat')
    other = before and before ~= key and P .. 'seats:' .. before
    if other then rest, last = unpack(call('HMGET', other, '#', ARGV[1])) end
  end
  if last ~= ended then
    if ended ~= '' then return false end
    local of, job = string.match(last or '', '^(%d+ %d+ )(.*)$')
    local still = job and call('HGET', worker, job)
    if still and string.sub(still, 1, #of) == of then return false end
  end
  if before ~= key then
    if not before then call('SADD', P .. 'seated', ARGV[1]) end
    call('HSET', worker, '#seat', key)
  end
  if other and last then
    local head, n = string.match(rest or '', '^(%d+ %d+ %d+ )(%d+)$')
    if (n or '1') == '1' then
      call('DEL', other)
    else
      call('HDEL', other, ARGV[1])
      call('HSET', other, '#', head .. n - 1)
    end
  end
  by = math.max(tonumber(by) or 0, deploy)
  call('HSET', seats, '#', string.format('%s %.0f %.0f %d', most, taken, by, used), ARGV[1], name .. id)
  return true
end

local is_single = #ARGV == 7 and tonumber(most) and ARGV[6] == '9007199254740991'
if is_single and sit(ARGV[4]) then return {0, -1, 0} end
