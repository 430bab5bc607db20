#!lua flags=no-writes
-- All registered workers.
-- Parts: base.
--
-- Reply: for each {worker, node, registration as JSON}; the last is '' where it is gone, or is no
--        hash.

local reply, all = {}, call('HGETALL', P .. 'workers')
for i = 1, #all, 2 do
  local who = redis.pcall('HGET', P .. 'worker:' .. all[i], '#who')
  reply[#reply + 1] = {all[i], all[i + 1], type(who) == 'string' and who or ''}
end
return reply
