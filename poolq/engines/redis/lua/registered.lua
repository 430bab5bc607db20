#!lua flags=no-writes
-- List all registered workers.
--
-- Reply: for each worker {worker, node, registration as JSON}. The registration is '' if it is lost
--        or the worker's key is not a hash.

local reply, all = {}, call('HGETALL', P .. 'workers')
for i = 1, #all, 2 do
  local who = redis.pcall('HGET', P .. 'worker:' .. all[i], '#who')
  reply[#reply + 1] = {all[i], all[i + 1], type(who) == 'string' and who or ''}
end
return reply
