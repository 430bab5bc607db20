-- Part `queues`: which queues are asked, and when their next job is due.

-- The queues named from ARGV[at] on ("<n>", then n names; "-1": all of the namespace), and the
-- position behind them.
local function named_at(at)
  local count = tonumber(ARGV[at])
  if count < 0 then return call('ZRANGE', P .. 'queues', 0, -1), at + 1 end
  return {unpack(ARGV, at + 1, at + count)}, at + 1 + count
end

-- Those of them that are not paused.
local function open_of(names)
  local paused = call('SMEMBERS', P .. 'paused')
  if #paused == 0 then return names end
  local shut, open = {}, {}
  for _, queue in ipairs(paused) do shut[queue] = true end
  for _, queue in ipairs(names) do
    if not shut[queue] then open[#open + 1] = queue end
  end
  return open
end

-- Microseconds until a delayed or parked job of the queues is due; -1: there is none. `from`:
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
