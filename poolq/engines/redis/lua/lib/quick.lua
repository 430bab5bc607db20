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
    keys[2 * i + 1], keys[2 * i + 2] = P .. 'back:' .. queue, P .. 'parked:' .. queue
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

local function add_group(queue, first, admitted, ids)
  local states = {}
  if any_states() then states = call('HMGET', STATES, unpack(ids)) end
  groups[#groups + 1] = {queue, first, admitted, ids, read_bodies(ids), states}
end

-- What the worker's hash is given, all at once.
local fields = {'#request', ARGV[2]}

local function claim(queue, admitted, ids)
  local head, tail = ARGV[2] .. ' ', ' ' .. admitted .. ' ' .. stamp .. ' ' .. queue
  if #fields > 2000 then
    call('HSET', worker, unpack(fields))
    fields = {'#request', ARGV[2]}
  end
  local n = #fields
  for k = 1, #ids do
    fields[n + 2 * k - 1], fields[n + 2 * k] = ids[k], head .. (index + k - 1) .. tail
  end
  add_group(queue, index, admitted, ids)
  index = index + #ids
end

-- Jobs that came back, then the list, then delayed ones that are due (without a detour through
-- the list), of one queue until all that are wanted are claimed.
local function grab(queue)
  local back, ready, delayed = P .. 'back:' .. queue, P .. 'ready:' .. queue, P .. 'delayed:' .. queue
  repeat
    local most = math.min(want - index, 1000)
    local ids = {}
    if not plain then
      local returned = call('ZPOPMIN', back, most)
      for i = 1, #returned, 2 do ids[#ids + 1] = returned[i] end
    end
    if #ids == 0 then ids = call('LPOP', ready, most) or {} end
    if #ids == 0 then
      ids = call('ZRANGE', delayed, '-inf', stamp, 'BYSCORE', 'LIMIT', 0, most)
      if #ids > 0 then call('ZREM', delayed, unpack(ids)) end
    end
    if #ids > 0 then claim(queue, 0, ids) end
  until #ids == 0 or index == want
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
      + call('ZCOUNT', P .. 'parked:' .. queue, '-inf', stamp)
  end
  if more > 0 then wake(queue, more) end
  return more > 0
end

-- Claim what is still wanted, and be done.
local function answer(names)
  for _, queue in ipairs(names) do
    if index == want then break end
    grab(queue)
  end
  call('HSET', worker, unpack(fields))
  if #stale > 0 then
    call('HSET', worker, '#stale', ARGV[2] .. '\n' .. table.concat(stale, '\n'))
  end
  if index < want then return {0, stale, next_due(names, '-inf'), groups} end
  for _, queue in ipairs(names) do
    if want == 0 or tell(queue) then break end
  end
  return {0, stale, -1, groups}
end

if plain and request > last then return answer(turned(queues)) end
