-- Part `queues`: which queues are asked.

-- The queues named from ARGV[at] on ("<n>", then n names; "-1": all of the namespace, which is nil
-- here), and the position behind them.
local function named_at(at)
  local count = tonumber(ARGV[at])
  if count < 0 then return nil, at + 1 end
  return {unpack(ARGV, at + 1, at + count)}, at + 1 + count
end

-- Microseconds until a delayed or held back job of the queues is due; -1: there is none. `from`:
-- the earliest that counts, as ZRANGE takes it.
local function next_due(queues, from)
  local first
  for _, queue in ipairs(queues) do
    for _, set in ipairs({P .. 'delayed:', P .. 'lines:'}) do
      local head =
        call('ZRANGE', set .. queue, from, '+inf', 'BYSCORE', 'LIMIT', 0, 1, 'WITHSCORES')
      local due = tonumber(head[2])
      if due and (first == nil or due < first) then first = due end
    end
  end
  return first and math.min(math.max(0, first - now), 2 ^ 53) or -1
end
