#!lua flags=allow-oom
-- Begin the recovery of a worker: fence it, and return its claims. Without its "#request", a worker
-- is refused by all scripts that settle or claim, so only `end_claims` and cancels by people change
-- its claims from now on.
-- Parts: silent_nodes.
--
-- ARGV: worker; then nothing, or its node and the node's last known heartbeat counter.
-- Reply: nil if the worker is not registered, or if the counter has changed. Else {now, claims}; the
--        claims are flat: id, claim as in the worker's hash, and stored state ("" if it is fresh).

local name, worker = ARGV[1], P .. 'worker:' .. ARGV[1]
if ARGV[2] and not is_silent(ARGV[2], ARGV[3]) then return false end
if call('TYPE', worker).ok ~= 'hash' then call('DEL', worker) end  -- evicted, or written by hand
if call('EXISTS', worker) + call('HEXISTS', P .. 'workers', name) == 0 then return false end
call('HDEL', worker, '#request')
local claims, ids, all = {}, {}, call('HGETALL', worker)
for i = 1, #all, 2 do
  if string.sub(all[i], 1, 1) ~= '#' then
    ids[#ids + 1] = all[i]
    claims[3 * #ids - 2], claims[3 * #ids - 1] = all[i], all[i + 1]
  end
end
for from = 1, #ids, 1000 do
  for k, state in ipairs(call('HMGET', STATES, unpack(ids, from, math.min(#ids, from + 999)))) do
    claims[3 * (from + k - 1)] = state or ''
  end
end
return {stamp, claims}
