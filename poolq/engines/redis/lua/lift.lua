#!lua flags=allow-oom
-- End the hold of a key, and schedule the lines of its limits anew.
-- Parts: parked_jobs.
--
-- ARGV: key.
-- Reply: 1, or 0 if the key was not held.

local key = ARGV[1]
if hold_end(key) == 0 then return 0 end
call('HDEL', HOLDS, key)
for _, queue in ipairs(call('SMEMBERS', P .. 'lined')) do
  local moved = false
  local first, last = bounds_of(key)
  for _, name in ipairs(call('ZRANGE', P .. 'keys:' .. queue, first, last, 'BYLEX')) do
    local identity = string.sub(name, #key + 2)
    schedule(queue, identity, next_slot(identity, limit_of(queue, identity) or 1))
    moved = true
  end
  if moved then wake(queue, 0) end
end
return 1
