-- Part `pushing` (needs `wake_tokens`, `ready`): store new jobs.
--
-- Arguments from ARGV[i] on: groups, each "<queue>", "<n>", and n (at most 1000) times
--   id, body               if n is positive; the jobs are due now
--   due, id, body          if n is negative; `due` is a time or "-<delay>", and a time in the past
--                          counts as now
-- `between`: what is stored between the queue and the body, "\n" unless the bodies begin with it.

-- `stored`: the fields and values of all ids.
local function store(ids, stored)
  local from = 1
  while from <= #ids do
    local to = last_in_same_hash(ids, from, #ids)
    call('HSET', bodies_of(ids[from]), unpack(stored, 2 * from - 1, 2 * to))
    from = to + 1
  end
end

local function now_due(queue, between, n, i)
  local head, ids, stored = stamp .. ' ' .. queue .. between, {}, {}
  for k = 1, n do
    ids[k], stored[2 * k - 1], stored[2 * k] = ARGV[i], ARGV[i], head .. ARGV[i + 1]
    i = i + 2
  end
  store(ids, stored)
  local waiting = append(queue, ids)
  if waiting <= n then activate(queue) end
  wake(queue, waiting)
end

-- Store a group with delayed jobs. Jobs that are already due go into the list, in order.
local function later_due(queue, between, n, i)
  local delayed, ids, stored, scored, due_ids = P .. 'delayed:' .. queue, {}, {}, {}, {}
  local before = tonumber(call('ZRANGE', delayed, 0, 0, 'WITHSCORES')[2])
  local first = before
  for k = 1, n do
    local id, due = ARGV[i + 1], tonumber(ARGV[i])
    if string.sub(ARGV[i], 1, 1) == '-' then due = now - due end
    if due <= now then
      due = now
      due_ids[#due_ids + 1] = id
    else
      if first == nil or due < first then first = due end
      scored[#scored + 1] = digits(due)
      scored[#scored + 1] = id
    end
    ids[k], stored[2 * k - 1] = id, id
    stored[2 * k] = digits(due) .. ' ' .. queue .. between .. ARGV[i + 2]
    i = i + 3
  end
  store(ids, stored)
  if #due_ids > 0 then
    local waiting = append(queue, due_ids)
    activate(queue)
    wake(queue, waiting)
  end
  if #scored > 0 then
    postpone(queue, first)
    call('ZADD', delayed, unpack(scored))
  end
  if first ~= before then wake(queue, 0) end
end

local function push_groups(i, between)
  while i < #ARGV do
    local queue, n = ARGV[i], tonumber(ARGV[i + 1])
    i = i + 2
    if n > 0 then
      now_due(queue, between, n, i)
      i = i + 2 * n
    else
      later_due(queue, between, -n, i)
      i = i - 3 * n
    end
  end
end
