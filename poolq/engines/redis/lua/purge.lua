#!lua flags=allow-oom
-- Delete what is ready, delayed or parked in a queue, a piece at a time.
-- Parts: base, tokens, ready, limits, parking.
--
-- ARGV: queue, how many at most (up to 1000).
-- Reply: {how many were deleted, how many are left}.

local queue, most = ARGV[1], tonumber(ARGV[2])
local back, ready = P .. 'back:' .. queue, P .. 'ready:' .. queue
local delayed = P .. 'delayed:' .. queue
local slots, rules = P .. 'parked:' .. queue, P .. 'parkrules:' .. queue
local ids = call('LPOP', ready, most) or {}
for _, set in ipairs({back, delayed}) do
  if #ids < most then
    local found = call('ZPOPMIN', set, most - #ids)
    for i = 1, #found, 2 do ids[#ids + 1] = found[i] end
  end
end
while #ids < most do
  local identity = call('ZRANGE', slots, 0, 0)[1]
  if not identity then break end
  local parked = call('LPOP', park_of(queue, identity), most - #ids) or {}
  if #parked > 0 then call('HDEL', rules, unpack(parked)) end
  for _, id in ipairs(parked) do ids[#ids + 1] = id end
  set_slot(queue, identity)
end
if #ids > 0 then
  drop_bodies(ids, 1, #ids)
  call('HDEL', STATES, unpack(ids))
end
local left = call('ZCARD', back) + call('LLEN', ready) + call('ZCARD', delayed)
return {#ids, left + call('HLEN', rules)}
