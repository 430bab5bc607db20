#!lua
-- Store jobs. No flags: a full server refuses it before anything has run.
-- Parts: base, tokens, ready.
--
-- ARGV: groups, each "<queue>", "<n>", and n (at most 1000) times
--         id, body               when n is above 0: due now
--         due, id, body          when n is below 0: due then, or "-<delay>": that much from now
-- Reply: 1.

local i = 1

local function now_due(queue, n)
  local head, ids, stored = stamp .. ' ' .. queue .. '\n', {}, {}
  for k = 1, n do
    ids[k], stored[2 * k - 1], stored[2 * k] = ARGV[i], ARGV[i], head .. ARGV[i + 1]
    i = i + 2
  end
  call('HSET', BODIES, unpack(stored))
  local waiting = append(queue, ids)
  if waiting <= n then know(queue) end
  wake(queue, waiting)
end

local function later_due(queue, n)
  local delayed, scored, stored = P .. 'delayed:' .. queue, {}, {}
  local before = tonumber(call('ZRANGE', delayed, 0, 0, 'WITHSCORES')[2])
  local first = before
  for k = 1, n do
    local due = tonumber(ARGV[i])
    if string.sub(ARGV[i], 1, 1) == '-' then due = now - due end
    if first == nil or due < first then first = due end
    scored[2 * k - 1], scored[2 * k] = digits(due), ARGV[i + 1]
    stored[2 * k - 1] = ARGV[i + 1]
    stored[2 * k] = digits(due) .. ' ' .. queue .. '\n' .. ARGV[i + 2]
    i = i + 3
  end
  call('HSET', BODIES, unpack(stored))
  call('ZADD', delayed, unpack(scored))
  know(queue)
  if first ~= before then wake(queue, 0) end
end

while i < #ARGV do
  local queue, n = ARGV[i], tonumber(ARGV[i + 1])
  i = i + 2
  if n > 0 then now_due(queue, n) else later_due(queue, -n) end
end
return 1
