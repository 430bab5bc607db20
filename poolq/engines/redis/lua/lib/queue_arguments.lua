-- Part `queue_arguments`: which queues a request is about.

-- The queues that ARGV lists from `at` on, and the position after them. ARGV has "<n>" and n names,
-- or "-1" for all queues of the namespace, which are returned as nil.
local function queues_at(at)
  local count = tonumber(ARGV[at])
  if count < 0 then return nil, at + 1 end
  return {unpack(ARGV, at + 1, at + count)}, at + 1 + count
end
