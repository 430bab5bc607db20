-- Part `queues`: which queues are asked.

-- The queues named from ARGV[at] on ("<n>", then n names; "-1": all of the namespace, which is nil
-- here), and the position behind them.
local function named_at(at)
  local count = tonumber(ARGV[at])
  if count < 0 then return nil, at + 1 end
  return {unpack(ARGV, at + 1, at + count)}, at + 1 + count
end
