#!lua flags=no-writes
-- All registered workers.
-- Parts: base.
--
-- Reply: the registrations as JSON; '' for one that is gone, or is no hash.

local reply = {}
for i, worker in ipairs(call('HKEYS', P .. 'workers')) do
  local who = redis.pcall('HGET', P .. 'worker:' .. worker, '#who')
  reply[i] = type(who) == 'string' and who or ''
end
return reply
