-- Part `queue_arguments`: which queues a request is about.

-- The queues listed from ARGV[at] on ("<n>", then n names; "-1": all queues of the namespace,
-- returned as nil), and the position after them.
local function queues_at(at)
  local count = tonumber(ARGV[at])
  if count < 0 then return nil, at + 1 end
  return {unpack(ARGV, at + 1, at + count)}, at + 1 + count
end
