#!lua flags=allow-oom
-- What a keeper asks before it blocks: which jobs have become due since anybody looked, and when
-- is the next one? Ready jobs as such are no news: they left a token.
-- Parts: base, tokens, queues, unpaused, ready, later, bodies, windows, lines.
--
-- ARGV: 1 if a token said to look again (it may have stood in for one that tells of ready jobs), else 0;
--       for how many milliseconds to note that these names are waited on (0: do not), queues as
--       part `queues` has them.
-- Reply: {how many have become due, microseconds until the next is due or -1, the wake lists to
--        wait on}.

-- How many queues are asked whether they have ready jobs.
local ASKED = 100

heed_clock()

local function ready_now(names)
  for _, queue in ipairs(names) do
    local ready = ready_in(queue)
    if ready > 0 then return ready end
  end
  return 0
end

-- Microseconds until a delayed or held back job of the queues is due; -1: there is none.
local function next_due(queues)
  local first
  for _, queue in ipairs(queues) do
    for _, set in ipairs({P .. 'delayed:', P .. 'lines:'}) do
      local head =
        call('ZRANGE', set .. queue, '(' .. stamp, '+inf', 'BYSCORE', 'LIMIT', 0, 1, 'WITHSCORES')
      local due = tonumber(head[2])
      if due and (first == nil or due < first) then first = due end
    end
  end
  return first and math.min(math.max(0, first - now), 2 ^ 53) or -1
end

local names = named_at(3)
if not names then
  local news, first = bring(), nil
  if news == 0 and ARGV[1] == '1' then
    news = ready_now((open_of(call('ZRANGE', ACTIVE, 0, ASKED - 1))))
  end
  local head = call('ZRANGE', LATER, 0, 0, 'WITHSCORES')
  if head[2] then first = math.max(0, tonumber(head[2]) - now) end
  return {news, digits(first or -1), {WAKE}}
end

local open, news = open_of(names), 0

-- Who waits on these by name from now on has missed the tokens of before.
local function announce()
  for _, queue in ipairs(names) do
    local fresh = call('SET', P .. 'named:' .. queue, 1, 'PX', ARGV[2], 'GET') == false
    call('ZADD', P .. 'named', digits(now + 1000 * ARGV[2]), queue)
    local ready = fresh and ready_in(queue) or 0
    if ready > 0 then wake(queue, ready) end
  end
  call('ZREMRANGEBYSCORE', P .. 'named', '-inf', stamp)
end

if ARGV[2] ~= '0' then announce() end
for _, queue in ipairs(open) do
  local lines = P .. 'lines:' .. queue
  for _, name in ipairs(call('ZRANGE', lines, '(0', stamp, 'BYSCORE', 'LIMIT', 0, 1000)) do
    if name == RELEASED then
      news = news + release_due(queue)
    else
      call('ZADD', lines, 0, name)
      activate(queue)
      news = news + 1
    end
  end
  news = news + promote(queue)
end
if news == 0 and ARGV[1] == '1' then news = ready_now(open) end
-- A queue that is paused now may be resumed meanwhile.
local lists = {}
for i, queue in ipairs(names) do lists[i] = P .. 'wake:' .. queue end
return {news, digits(next_due(open)), lists}
