-- Part `failed_jobs`: find out which of some jobs have failed.

-- Call `visit` with each queue that has failed jobs among these ids (at most 1000), and their ids.
local function each_failed(ids, visit)
  local queues = {}
  each_hash(ids, 1, #ids, function(hash, from, to)
    local stored = call('HMGET', hash, unpack(ids, from, to))
    for k = from, to do
      local queue = string.match(stored[k - from + 1] or '', '^%d+ ([^\n\t]*)[\n\t]')
      if queue then
        queues[queue] = queues[queue] or {}
        table.insert(queues[queue], ids[k])
      end
    end
  end)
  for queue, some in pairs(queues) do
    local failed = {}
    for k, at in ipairs(call('ZMSCORE', P .. 'failed:' .. queue, unpack(some))) do
      if at then failed[#failed + 1] = some[k] end
    end
    if #failed > 0 then visit(queue, failed) end
  end
end

-- Remove these jobs from the failed ones of a queue.
local function leave_failed(queue, ids)
  call('ZREM', P .. 'failed', unpack(ids))
  call('ZREM', P .. 'failed:' .. queue, unpack(ids))
  if call('EXISTS', P .. 'failed:' .. queue) == 0 then call('SREM', P .. 'failures', queue) end
end
