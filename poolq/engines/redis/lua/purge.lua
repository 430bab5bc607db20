#!lua flags=allow-oom
-- Delete ready, delayed and parked jobs of a queue, in batches.
-- Parts: settle_done, parked_jobs.
--
-- ARGV: queue, the highest number of jobs (up to 1000).
-- Reply: {how many jobs were deleted, how many are left, 1 if gone entries were deleted, else 0}.

local queue, most = ARGV[1], tonumber(ARGV[2])
local back, ready = P .. 'back:' .. queue, P .. 'ready:' .. queue
local delayed, held = P .. 'delayed:' .. queue, P .. 'held:' .. queue
local lines, rules = P .. 'lines:' .. queue, P .. 'parkrules:' .. queue
local ids, skipped = {}, 0
local first, gone = call('LRANGE', ready, 0, most - 1), P .. 'gone:' .. queue
if #first > 0 then
  for k, left in ipairs(call('HMGET', gone, unpack(first))) do
    if left then skipped = 1 else ids[#ids + 1] = first[k] end
  end
  call('LTRIM', ready, #first, -1)
  call('HDEL', gone, unpack(first))
end
for _, set in ipairs({back, delayed, held}) do
  if #ids < most then
    local found, some = call('ZPOPMIN', set, most - #ids), {}
    for i = 1, #found, 2 do some[#some + 1] = found[i] end
    for _, id in ipairs(some) do ids[#ids + 1] = id end
    if set == held and #some > 0 then
      unhold(queue, some)
      update_release(queue)
    end
  end
end
while #ids < most do
  local identity = call('ZRANGE', lines, 0, 0)[1]
  if not identity or identity == RELEASED then break end
  local parked = call('ZPOPMIN', line_key(queue, identity), most - #ids)
  for i = 1, #parked, 2 do
    ids[#ids + 1] = parked[i]
    call('HDEL', rules, parked[i])
  end
  update_line(queue, identity)
end
if #ids > 0 then
  delete_jobs(ids, 1, #ids)
  count('cancelled', queue, #ids)
end
local left = call('ZCARD', back) + count_listed(queue) + call('ZCARD', delayed)
  + call('ZCARD', held)
return {#ids, left + call('HLEN', rules), skipped}
