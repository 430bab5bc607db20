-- Part `counters`: how often each kind of event has happened in each queue.

-- Add to a number in a hash. It restarts from 0 if somebody has written something else there.
local function add(key, field, by)
  local sum = redis.pcall('HINCRBY', key, field, by)
  if type(sum) == 'number' then return sum end
  call('HSET', key, field, by)
  return tonumber(by)
end

local function count(counter, queue, by)
  add(P .. 'counters', counter .. ' ' .. queue, by)
end
