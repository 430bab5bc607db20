-- Part `many_queues`, of `step` alone (needs `fast_path`): claim from more than a few queues. Some are asked in a
-- step, after the last one asked before; those that have nothing leave `active`, so that nobody asks
-- them again.

-- How many names are read at once, and how many queues in which there is nothing one step meets.
local WINDOW, BARREN = 32, 250

-- Jobs that came back, in their order. One that was granted keeps its slots while they count.
grab_back = function(queue, most)
  local back = P .. 'back:' .. queue
  local ids = call('ZRANGE', back, 0, most - 1)
  if #ids == 0 then return end
  local spans = call('HMGET', GRANTED, unpack(ids))
  local from, before = 1, index
  for k = 1, #ids do
    if index == want then break end
    local begins, ends = string.match(spans[k] or '', '^(%d+):(%d+)$')
    if ends and tonumber(begins) <= now and now < tonumber(ends) then
      if from < k then claim(queue, '0', {unpack(ids, from, k - 1)}) end
      if index == want then break end
      claim(queue, spans[k], {ids[k]})
      from = k + 1
    end
  end
  if from <= #ids and index < want then claim(queue, '0', {unpack(ids, from)}) end
  call('ZREM', back, unpack(ids, 1, index - before))
  call('HDEL', GRANTED, unpack(ids, 1, index - before))
end

local cursor = many and call('HGET', worker, '#cursor') or nil

local function names_after(name)
  local from = name and '(' .. name or '-'
  local found = call('ZRANGE', ACTIVE, from, '+', 'BYLEX', 'LIMIT', 0, WINDOW)
  return name and #found == 0 and names_after() or found
end

-- How many have been asked; those that have nothing now.
local asked, empty = 0, {}

-- `first` claims what comes before all else of a queue, and says whether the queue has more of that.
local function ask(names, first)
  for _, queue in ipairs(names) do
    if index == want then return end
    local more = first and first(queue)
    grab(queue)
    asked, cursor = asked + 1, queue
    if index < want and not more then empty[#empty + 1] = queue end
  end
end

-- Without `first`: until it is needed; then, false.
local function ask_many(first)
  local most = math.min(call('ZCARD', ACTIVE), want + BARREN)
  while index < want and asked < most do
    local open, shut = names_after(cursor), {}
    if #open == 0 then break end
    local last_one = open[#open]
    plain = is_plain(open)
    if not plain then
      if not first then return false end
      open, shut = open_of(open)
    end
    ask(open, first)
    for _, queue in ipairs(shut) do empty[#empty + 1] = queue end  -- until it is resumed
    asked = asked + #shut
    if index < want then cursor = last_one end
  end
  return true
end

local function answer_many(good, problem)
  fields[#fields + 1] = '#cursor'
  fields[#fields + 1] = cursor or ''
  call('HSET', worker, unpack(fields))
  fields = {'#request', ARGV[2]}
  if good then
    for from = 1, #empty, 1000 do
      call('ZREM', ACTIVE, unpack(empty, from, math.min(from + 999, #empty)))
    end
    local full = index == want or asked >= want + BARREN
    if full and call('EXISTS', ACTIVE) == 1 and call('EXISTS', WAKE) == 0 then
      call('RPUSH', WAKE, 1)
    end
  end
  return answer({}, good, problem)
end

if many and ARGV[at] == '0' and request > last then
  local good, done = pcall(ask_many)
  if not good or done then return answer_many(good, done) end
end
