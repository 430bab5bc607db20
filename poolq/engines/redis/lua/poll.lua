#!lua flags=allow-oom
-- Tell a keeper, before it blocks, how many jobs have become due since the last poll, and when the
-- next job is due. Jobs that were ready before the last poll do not count: they left a wake token.
-- Parts: queue_arguments, unpaused, clock_jumps.
--
-- ARGV: 1 if a token said to poll again (it may have replaced one about ready jobs), else 0; for
--       how many milliseconds to note that a keeper waits on these queues by name (0: not at all);
--       queues as in part `queue_arguments`.
-- Reply: {how many jobs have become due, microseconds until the next one is due (-1: none), the
--        wake lists to wait on}.

-- How many queues are checked for ready jobs.
local MAX_ASKED = 100

check_clock()

local function first_ready(names)
  for _, queue in ipairs(names) do
    local ready = count_ready(queue)
    if ready > 0 then return ready end
  end
  return 0
end

-- Microseconds until a delayed or held job of the queues is due; -1 if there is none.
local function next_due(queues)
  local first
  for _, queue in ipairs(queues) do
    local due = next_due_in(queue)
    if due and (first == nil or due < first) then first = due end
  end
  return first and math.min(math.max(0, first - now), 2 ^ 53) or -1
end

local names = queues_at(3)
if not names then
  local news, first = activate_due(), nil
  if news == 0 and ARGV[1] == '1' then
    news = first_ready((split_paused(call('ZRANGE', ACTIVE, 0, MAX_ASKED - 1))))
  end
  local head = call('ZRANGE', LATER, 0, 0, 'WITHSCORES')
  if head[2] then first = math.min(math.max(0, tonumber(head[2]) - now), 2 ^ 53) end
  return {news, digits(first or -1), {WAKE}}
end

local open, news = split_paused(names), 0

-- Record that a keeper waits on these queues by name. If this is new, wake it for ready jobs.
local function announce()
  for _, queue in ipairs(names) do
    local fresh = call('SET', P .. 'named:' .. queue, 1, 'PX', ARGV[2], 'GET') == false
    call('ZADD', P .. 'named', digits(now + 1000 * ARGV[2]), queue)
    local ready = fresh and count_ready(queue) or 0
    if ready > 0 then wake(queue, ready) end
  end
  call('ZREMRANGEBYSCORE', P .. 'named', '-inf', stamp)
end

if ARGV[2] ~= '0' then announce() end
for _, queue in ipairs(open) do
  local lines = P .. 'lines:' .. queue
  local due = call('ZRANGE', lines, '(0', stamp, 'BYSCORE', 'LIMIT', 0, BATCH, 'WITHSCORES')
  for i = 1, #due, 2 do
    call('ZADD', lines, digits(due[i + 1] - 2 ^ 53), due[i])  -- negative, in the same order
    activate(queue)
    news = news + 1
  end
  news = news + promote(queue)
end
if news == 0 and ARGV[1] == '1' then news = first_ready(open) end
-- Include paused queues, which may be resumed in the meantime.
local lists = {}
for i, queue in ipairs(names) do lists[i] = P .. 'wake:' .. queue end
return {news, digits(next_due(open)), lists}
