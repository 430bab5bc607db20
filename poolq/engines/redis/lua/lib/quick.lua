-- Part `quick`, of `step` alone (needs `done`, `tokens`, `queues`): what every step does, and the end of
-- most. Where no job waits but in lists or for its time, and all that is settled is done, the script
-- ends here: making the functions of the parts that follow would cost it more than its own work.

local worker, request, want = P .. 'worker:' .. ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local queues, at = named_at(5)
local first, last_id = 0, -1
if ARGV[at] ~= '0' then first, last_id = ids_of_run(at + 1) end
local kept = call('HMGET', worker, '#request', '#turn', '#aside', unpack(ARGV, first, last_id))
local last, turn = tonumber(kept[1] or nil), tonumber(kept[2] or 0)
if last == nil then return {1} end
if request < last then return {2, last} end
-- A failover has lost what this worker did last, by steps or beside them. Among its claims here may
-- be settled ones, which nobody would ever settle again: it has to leave, and then they are recovered.
if last > 0 and request > last + 1 then return {1} end
if tonumber(ARGV[4]) > tonumber(kept[3] or 0) then return {1} end

-- One look for all that is mostly not there. True: nothing is paused, parked or has come back.
local function is_plain()
  if #queues > 1000 then return false end
  local keys = {STATES, P .. 'paused'}
  for i, queue in ipairs(queues) do
    keys[2 * i + 1], keys[2 * i + 2] = P .. 'back:' .. queue, P .. 'lines:' .. queue
  end
  local found = call('EXISTS', unpack(keys))
  stated = found > 0 and call('EXISTS', STATES) == 1
  return found == (stated and 1 or 0)
end

local plain, stale, groups, index = is_plain(), {}, {}, 0
if request > last then at = settle_runs(worker, at, stale, kept, 3) end
plain = plain and ARGV[at] == '0'

local function read_bodies(ids)
  local found, guess = {}, bodies_of(ids[1])
  if guess == bodies_of(ids[#ids]) then  -- mostly all are there
    found = call('HMGET', guess, unpack(ids))
    local good = 1
    while found[good] do good = good + 1 end
    if good > #ids then return found end
  end
  local from = 1
  while from <= #ids do
    local to = stretch(ids, from, #ids)
    local some = call('HMGET', bodies_of(ids[from]), unpack(ids, from, to))
    for k = from, to do found[k] = some[k - from + 1] end
    from = to + 1
  end
  return found
end

local HOW = {['0'] = 0, r = 2}

local function add_group(queue, first, how, ids)
  local states = {}
  if any_states() then states = call('HMGET', STATES, unpack(ids)) end
  groups[#groups + 1] = {queue, first, HOW[how] or 1, ids, read_bodies(ids), states}
end

-- What the worker's hash is given, all at once.
local fields = {'#request', ARGV[2]}

-- `how`: as a claim's field has it.
local function claim(queue, how, ids)
  local head, tail = ARGV[2] .. ' ', ' ' .. how .. ' ' .. stamp .. ' ' .. queue
  add_group(queue, index, how, ids)
  if #fields > 2000 then
    call('HSET', worker, unpack(fields))
    fields = {'#request', ARGV[2]}
  end
  local n = #fields
  for k = 1, #ids do
    fields[n + 2 * k - 1], fields[n + 2 * k] = ids[k], head .. (index + k - 1) .. tail
  end
  index = index + #ids
end

-- Jobs that came back, in their order. One that was granted keeps its slots while they count.
local function grab_back(queue, most)
  local back = P .. 'back:' .. queue
  local ids = call('ZRANGE', back, 0, most - 1)
  if #ids == 0 then return end
  local spans = call('HMGET', GRANTED, unpack(ids))
  local from = 1
  for k = 1, #ids do
    local begins, ends = string.match(spans[k] or '', '^(%d+):(%d+)$')
    if ends and tonumber(begins) <= now and now < tonumber(ends) then
      if from < k then claim(queue, '0', {unpack(ids, from, k - 1)}) end
      claim(queue, spans[k], {ids[k]})
      from = k + 1
    end
  end
  if from <= #ids then claim(queue, '0', {unpack(ids, from)}) end
  call('ZREM', back, unpack(ids))
  call('HDEL', GRANTED, unpack(ids))
end

-- Jobs that came back, then the list, then delayed ones that are due (without a detour through
-- the list), of one queue until all that are wanted are claimed. They are read first: a script that
-- fails is not undone, and what it has taken away would be lost.
local function grab(queue)
  local ready, delayed = P .. 'ready:' .. queue, P .. 'delayed:' .. queue
  while index < want do
    local most, before = math.min(want - index, 1000), index
    if not plain then grab_back(queue, most) end
    if index == before then
      local ids = call('LRANGE', ready, 0, most - 1)
      if #ids > 0 then
        claim(queue, '0', ids)
        call('LTRIM', ready, #ids, -1)
      else
        ids = call('ZRANGE', delayed, '-inf', stamp, 'BYSCORE', 'LIMIT', 0, most)
        if #ids == 0 then return end
        claim(queue, '0', ids)
        call('ZREM', delayed, unpack(ids))
      end
    end
  end
end

-- The order in which this step asks them.
local function turned(names)
  if ARGV[5] ~= '-1' or want == 0 or #names < 2 then return names end
  local found = {}
  for i = 1, #names do found[i] = names[(i - 1 + turn) % #names + 1] end
  fields[3], fields[4] = '#turn', turn + 1
  return found
end

-- Leave a token for what is left in a queue; false: nothing is.
local function tell(queue)
  local more = call('LLEN', P .. 'ready:' .. queue)
  if more > 0 and call('EXISTS', P .. 'wake:' .. queue) == 1 then return true end
  more = more + call('ZCOUNT', P .. 'delayed:' .. queue, '-inf', stamp)
  if not plain then
    more = more + call('ZCARD', P .. 'back:' .. queue)
      + call('ZCOUNT', P .. 'lines:' .. queue, '-inf', stamp)
  end
  if more > 0 then wake(queue, more) end
  return more > 0
end

-- Claim what is wanted, and be done. `first` claims what comes before all else of a queue.
local function answer(names, first)
  local good, problem = pcall(function()
    for _, queue in ipairs(names) do
      if index == want then break end
      if first then first(queue) end
      grab(queue)
    end
  end)
  call('HSET', worker, unpack(fields))
  if #stale > 0 then
    call('HSET', worker, '#stale', ARGV[2] .. '\n' .. table.concat(stale, '\n'))
  end
  -- What has been claimed until then is in the answer when the step is repeated.
  if not good then error(problem) end
  if index < want then return {0, stale, next_due(names, '-inf'), groups} end
  for _, queue in ipairs(names) do
    if want == 0 or tell(queue) then break end
  end
  return {0, stale, -1, groups}
end

if plain and request > last then return answer(turned(queues)) end
