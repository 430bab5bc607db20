#!lua flags=no-writes
-- List the counters by queue.
-- Parts: known_queues.
--
-- Reply: {"<counter> <queue>", number, ...}; the sums of forgotten queues are under the queue "".

local counters = P .. 'counters'
if call('HLEN', counters) <= #COUNTERS * FEW_KNOWN then return call('HGETALL', counters) end

local fields, seen, reply = {}, {}, {}

local function add(queue)
  if seen[queue] then return end
  seen[queue] = true
  for _, counter in ipairs(COUNTERS) do fields[#fields + 1] = counter .. ' ' .. queue end
end

add('')
each_nonempty(add)
each_recent(add)
for from = 1, #fields, 1000 do
  local last = math.min(from + 999, #fields)
  for i, number in ipairs(call('HMGET', counters, unpack(fields, from, last))) do
    if number then
      reply[#reply + 1] = fields[from + i - 1]
      reply[#reply + 1] = number
    end
  end
end
return reply
