#!lua flags=allow-oom
-- List the cancelled claims of a node's workers. Forget the requests whose claims have ended.
--
-- ARGV: node.
-- Reply: for each claim {id, worker, request, index, microseconds until its worker is to be killed}.

local reply, all = {}, call('HGETALL', P .. 'cancels')
for i = 1, #all, 2 do
  local id, worker = all[i], all[i + 1]
  local claim = redis.pcall('HGET', P .. 'worker:' .. worker, id)
  local request, index, due =
    string.match(type(claim) == 'string' and claim or '', '^(%d+) (%d+) c(%d+)/')
  if not request then
    call('HDEL', P .. 'cancels', id)
  elseif call('HGET', P .. 'workers', worker) == ARGV[1] then
    reply[#reply + 1] = {id, worker, request, index, digits(tonumber(due) - now)}
  end
end
return reply
