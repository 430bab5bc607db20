#!lua flags=no-writes
-- List failed jobs, newest first.
-- Parts: base.
--
-- ARGV: the highest number of jobs, the end of the time range ("+inf" or "(<time>"), queue or "".
-- Reply: for each job {id, queue, "failed", at, body, state, ""}.

local most, queues = tonumber(ARGV[1]), {ARGV[3]}
if ARGV[3] == '' then queues = call('ZRANGE', P .. 'failures', 0, -1) end
local found = {}
for _, queue in ipairs(queues) do
  local key = P .. 'failed:' .. queue
  local all = call('ZRANGE', key, ARGV[2], '-inf', 'BYSCORE', 'REV', 'LIMIT', 0, most, 'WITHSCORES')
  for i = 1, #all, 2 do
    found[#found + 1] = {id = all[i], at = tonumber(all[i + 1]), queue = queue}
  end
end
table.sort(found, function(a, b)
  if a.at == b.at then return a.id > b.id end
  return a.at > b.at
end)
local reply = {}
for i = 1, math.min(most, #found) do
  local job = found[i]
  local body, state = call('HGET', bodies_of(job.id), job.id), call('HGET', STATES, job.id)
  reply[i] = {job.id, job.queue, 'failed', digits(job.at), body, state, ''}
end
return reply
