#!lua flags=no-writes
-- All registered workers.
-- Parts: base.
--
-- Reply: the registrations as JSON.

local reply = {}
for i, worker in ipairs(call('HKEYS', P .. 'workers')) do
  reply[i] = call('HGET', P .. 'worker:' .. worker, '#who')
end
return reply
