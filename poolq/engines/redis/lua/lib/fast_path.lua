-- Part `fast_path`, of `step` alone (needs `done`, `tokens`, `queues`): what every step does, and the end of
-- most. Where no job waits but in lists or for its time, and all that is settled is done, the script
-- ends here: making the functions of the parts that follow would cost it more than its own work.

-- Of so many queues each is asked, in turn, and stays in `active` when it has nothing: to take it out and
-- put it in again costs more. See part `many_queues` for more of them.
local FEW = 8

local worker, request, want = P .. 'worker:' .. ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local everywhere = ARGV[5] == '-1'
local queues, at = named_at(5)
local first, last_id = 0, -1
if ARGV[at] ~= '0' then first, last_id = ids_of_run(at + 1) end
local kept = call('HMGET', worker, '#request', '#turn', '#aside', unpack(ARGV, first, last_id))
local last, turn = tonumber(kept[1] or nil), tonumber(kept[2] or 0) or 0
if last == nil then return {1} end
if request < last then return {2, last} end
-- A failover has lost what this worker did last, by steps or beside them. Among its claims here may
-- be settled ones, which nobody would ever settle again: it has to leave, and then they are recovered.
if last > 0 and request > last + 1 then return {1} end
if tonumber(ARGV[4]) > (tonumber(kept[3] or 0) or 0) then return {1} end

local plain, many, stale, groups, index = true, false, {}, {}, 0

-- One look for all that is mostly not there. True: nothing is paused, in a line, has come back, or has
-- come due in a queue that gives nothing else.
local function is_plain(names)
  if #names > 1000 then return false end
  local keys = {STATES, P .. 'paused', LATER}
  for i, queue in ipairs(names) do
    keys[2 * i + 2], keys[2 * i + 3] = P .. 'back:' .. queue, P .. 'lines:' .. queue
  end
  local found = call('EXISTS', unpack(keys))
  stated = found > 0 and call('EXISTS', STATES) == 1
  if found == 0 then return true end
  local later = call('ZRANGE', LATER, 0, 0, 'WITHSCORES')
  if everywhere and later[2] and tonumber(later[2]) <= now then return false end
  return found == (stated and 1 or 0) + (later[2] and 1 or 0)
end

if want == 0 then
  queues = {}
elseif request > last then
  if everywhere then
    queues = call('ZRANGE', ACTIVE, 0, FEW)
    many = #queues > FEW
  end
  plain = not many and is_plain(queues)
end
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

local function add_group(queue, first, how, ids, bodies)
  local states = {}
  if any_states() then states = call('HMGET', STATES, unpack(ids)) end
  groups[#groups + 1] = {queue, first, HOW[how] or 1, ids, bodies, states}
end

-- What the worker's hash is given, all at once.
local fields = {'#request', ARGV[2]}

-- As poolq/engines/base.py has it: nothing more is claimed once the bodies exceed this.
local CLAIM_BYTES = 4 * 2 ^ 20
-- How many jobs are read at once; from then on, by what those before had.
local AT_ONCE = 32
local spent, chunk = 0, AT_ONCE

-- Claim these, as far as bytes allow; how many. `how`: as a claim's field has it.
local function claim(queue, how, ids)
  local head, tail = ARGV[2] .. ' ', ' ' .. how .. ' ' .. stamp .. ' ' .. queue
  local bodies, taken = read_bodies(ids), 0
  repeat
    taken = taken + 1
    spent = spent + #(bodies[taken] or '')
  until taken == #ids or spent > CLAIM_BYTES
  if taken < #ids then ids, bodies = {unpack(ids, 1, taken)}, {unpack(bodies, 1, taken)} end
  add_group(queue, index, how, ids, bodies)
  if #fields > 2000 then
    call('HSET', worker, unpack(fields))
    fields = {'#request', ARGV[2]}
  end
  local n = #fields
  for k = 1, #ids do
    fields[n + 2 * k - 1], fields[n + 2 * k] = ids[k], head .. (index + k - 1) .. tail
  end
  index = index + taken
  if spent > CLAIM_BYTES then want = index end
  local like_these = math.ceil((CLAIM_BYTES - spent) * index / math.max(spent, 1))
  chunk = math.max(1, math.min(4 * chunk, like_these, 1000))
  return taken
end

-- Claims jobs that came back, where there are some; see part `many_queues`.
local grab_back

-- Jobs that came back, then the list, then delayed ones that are due (without a detour through
-- the list), of one queue until all that are wanted are claimed. They are read first: a script that
-- fails is not undone, and what it has taken away would be lost.
local function grab(queue)
  local ready, delayed = P .. 'ready:' .. queue, P .. 'delayed:' .. queue
  while index < want do
    local most, before = math.min(want - index, chunk), index
    if not plain then grab_back(queue, most) end
    if index == before then
      local ids = call('LRANGE', ready, 0, most - 1)
      if #ids > 0 then
        call('LTRIM', ready, claim(queue, '0', ids), -1)
      else
        ids = call('ZRANGE', delayed, '-inf', stamp, 'BYSCORE', 'LIMIT', 0, most)
        if #ids == 0 then return end
        call('ZREM', delayed, unpack(ids, 1, claim(queue, '0', ids)))
      end
    end
  end
end

-- Claim what is still wanted; of all queues in turn.
local function visit(names, from)
  for i = 1, #names do
    if index == want then return end
    grab(names[(i - 1 + from) % #names + 1])
  end
end

-- Leave a token for what is left in a queue; false: nothing is.
local function tell(queue)
  local more = call('LLEN', P .. 'ready:' .. queue)
  if more == 0 then more = call('ZCOUNT', P .. 'delayed:' .. queue, '-inf', stamp) end
  if more == 0 and not plain then
    more = call('ZCARD', P .. 'back:' .. queue)
      + call('ZCOUNT', P .. 'lines:' .. queue, '-inf', stamp)
  end
  if more > 0 then wake(queue, more) end
  return more > 0
end

-- The answer, once what was claimed is written down: all that may fail comes after that. `problem`: why
-- claiming has ended; what was claimed until then is in the answer when the step is repeated.
local function answer(names, good, problem)
  -- Last, as an id that was written by hand may be '#request', too.
  fields[#fields + 1] = '#request'
  fields[#fields + 1] = ARGV[2]
  call('HSET', worker, unpack(fields))
  if #stale > 0 then
    call('HSET', worker, '#stale', ARGV[2] .. '\n' .. table.concat(stale, '\n'))
  end
  if not good then error(problem) end
  if want > 0 and index == want and not (everywhere and call('EXISTS', WAKE) == 1) then
    for _, queue in ipairs(names) do
      if tell(queue) then break end
    end
  end
  return {0, stale, groups}
end

if plain and request > last then
  local from = 0
  if everywhere and #queues > 1 then
    from, fields[3], fields[4] = turn, '#turn', turn + 1
  end
  local good, problem = pcall(visit, queues, from)
  -- Nothing in any queue may mean that the clock has gone back.
  if index > 0 or not everywhere or not good or want == 0 or call('EXISTS', P .. 'latest') == 0 then
    return answer(queues, good, problem)
  end
end
