#!lua flags=no-writes
-- List jobs of one status, a page at a time.
-- Parts: list_order, ready_list.
--
-- ARGV: status, the highest number of jobs, queue or "", key of a limit or "", then the position
--       after which the page begins: section ("" at the beginning), due, id, queue, identity of a
--       line; then 1 to leave out bodies and states, or 0.
-- Reply: {for each job {id, queue, status, at, body, state, worker, key of the limit that it waits
--        for, ''}, the position at which the next page begins, or nil}.
--
-- A listing consists of sections: "queue" (jobs of a queue by due time), "held" (released jobs of a
-- queue by the end of their wait), "line" (parked jobs of a line by due time), "running" and
-- "failed". In the first three, one queue follows the other, sorted by name.

-- MAX_VISITED: how many queues and lines are visited. MAX_CHECKED: how many released jobs are
-- checked for their limit. MAX_READ: how many entries of a list are read.
local MAX_VISITED, MAX_CHECKED, MAX_READ = 500, 300, 5000
local LINES_AT_ONCE = 100

local status, most = ARGV[1], tonumber(ARGV[2])
local only, limit = ARGV[3], ARGV[4]
local after = {due = tonumber(ARGV[6]), id = ARGV[7], queue = ARGV[8], line = ARGV[9]}
local section
local START = {due = -1, id = '', queue = '', line = ''}
-- The jobs found: at most one more than requested. The additional one shows that there are more.
local found = {}
-- Where the next page begins, if this one ends before it is full.
local stopped = nil
local visited = 0

local function want()
  return most + 1 - #found
end

-- Whether to stop before the jobs of this queue and line.
local function stops(queue, line)
  visited = visited + 1
  if visited > MAX_VISITED and not stopped then
    stopped = {section = section, due = -1, id = '', queue = queue, line = line or ''}
  end
  return stopped ~= nil or want() <= 0
end

-- How many members of a sorted set come before a position or are at it.
local function rank_after(key, from)
  local due = digits(from.due)
  local low, high = call('ZCOUNT', key, '-inf', '(' .. due), call('ZCOUNT', key, '-inf', due)
  while low < high do
    local middle = math.floor((low + high) / 2)
    if call('ZRANGE', key, middle, middle)[1] > from.id then high = middle else low = middle + 1 end
  end
  return low
end

-- Call `visit` with the members of a sorted set, and their scores, that come after a position and
-- have scores from `low` to `high`, until it returns false.
local function each_after(key, low, high, from, n, visit)
  local at = from == START and 0 or rank_after(key, from)
  if low > 0 then at = math.max(at, call('ZCOUNT', key, '-inf', '(' .. digits(low))) end
  repeat
    local some = call('ZRANGE', key, at, at + n - 1, 'WITHSCORES')
    for i = 1, #some, 2 do
      local score = tonumber(some[i + 1])
      if score > high or not visit(some[i], score) then return end
    end
    at = at + n
  until #some < 2 * n
end

-- The queues to visit, sorted, beginning with that of the position. `sets`: where their names are.
local function queues_from(from, sets)
  if only ~= '' then return {only} end
  local names, seen = {}, {}
  for _, set in ipairs(sets) do
    local all = set == 'active' or set == 'later'
    for _, queue in ipairs(all and call('ZRANGE', P .. set, 0, -1) or call('SMEMBERS', P .. set)) do
      if not seen[queue] and queue >= from.queue then names[#names + 1] = queue end
      seen[queue] = true
    end
  end
  table.sort(names)
  return names
end

-- End the page at this entry of a list, because many entries before it belong to gone jobs.
local function stop_among(some, queue, id)
  local due = due_in_list(queue, id)
  if not due then return end
  stopped = {section = section, due = due, id = id, queue = queue, line = ''}
  while #some > 0 and not by_due(some[#some], stopped) do some[#some] = nil end
end

-- The ready or the delayed jobs of a queue, in order. Reads enough of each place to fill the page.
local function jobs_of(queue, from)
  local some, n = {}, want()
  local function each(key, low, high)
    local left = n
    each_after(key, low, high, from, n, function(id, due)
      some[#some + 1] = {id = id, due = due, at = due, queue = queue, line = ''}
      left = left - 1
      return left > 0
    end)
  end
  local delayed, key, at, listed = P .. 'delayed:' .. queue, P .. 'ready:' .. queue, 0, 0
  if status == 'delayed' then
    each(delayed, now + 1, math.huge)
    return some
  end
  each(P .. 'back:' .. queue, 0, math.huge)
  each(delayed, 0, now)
  if from ~= START then at = first_behind(queue, from.due, from.id) end
  local last = at + MAX_READ
  repeat
    local ids = call('LRANGE', key, at, at + n - 1)
    at = at + n
    for _, id in ipairs(ids) do
      local its, due = origin_of(id)
      if its == queue and is_behind(queue, id, from.due, from.id) then
        some[#some + 1] = {id = id, due = due, at = due, queue = queue, line = ''}
        listed = listed + 1
      end
    end
  until #ids < n or listed >= n or at >= last
  table.sort(some, by_due)
  if at >= last and listed < n then stop_among(some, queue, call('LINDEX', key, at - 1)) end
  return some
end

local function take(some)
  for i = 1, math.min(#some, want()) do
    some[i].section = section
    found[#found + 1] = some[i]
  end
end

local function list_queues(from)
  for _, queue in ipairs(queues_from(from, {'active', 'later', 'paused'})) do
    if stops(queue) then return end
    take(jobs_of(queue, queue == from.queue and from or START))
  end
end

-- Released jobs whose window has ended (if ready ones are listed) or not.
local function list_held(from)
  local checked = 0
  for _, queue in ipairs(queues_from(from, {'lined'})) do
    if stops(queue) then return end
    local low, high = 0, now
    if status == 'delayed' then low, high = now + 1, math.huge end
    local begin = queue == from.queue and from or START
    each_after(P .. 'held:' .. queue, low, high, begin, want(), function(id, moment)
      local by = call('HGET', P .. 'heldby:' .. queue, id) or ''
      local due, key = string.match(by, '^(%d+) %d+ %-?%d+:(.*)$')
      checked = checked + 1
      if limit == '' or key == limit then
        local at = status == 'ready' and tonumber(due or 0) or moment
        local by_limit = status == 'delayed' and key or nil
        take({{id = id, due = moment, at = at, queue = queue, line = '', limit = by_limit}})
      elseif checked > MAX_CHECKED then
        stopped = {section = section, due = moment, id = id, queue = queue, line = ''}
      end
      return want() > 0 and not stopped
    end)
  end
end

-- The parked jobs of a queue, line by line, beginning at a position or with its first line ('').
local function list_queue_lines(queue, from)
  local first, last = '-', '+'
  if limit ~= '' then first, last = bounds_of(limit) end
  if from.line ~= '' then first = '[' .. name_by_key(from.line) end
  repeat
    local names = call('ZRANGE', P .. 'keys:' .. queue, first, last, 'BYLEX', 'LIMIT', 0, LINES_AT_ONCE)
    for _, name in ipairs(names) do
      local key, line = string.match(name, '^([^\n]*)\n(.*)$')
      key, line = key or '', line or ''  -- written by hand
      if stops(queue, line) then return end
      local begin = line == from.line and from or START
      each_after(line_key(queue, line), 0, math.huge, begin, want(), function(id, due)
        take({{id = id, due = due, at = due, queue = queue, line = line, limit = key}})
        return want() > 0
      end)
      first = '(' .. name
    end
  until #names < LINES_AT_ONCE
end

local function list_lines(from)
  for _, queue in ipairs(queues_from(from, {'lined'})) do
    if stopped or want() <= 0 then return end
    list_queue_lines(queue, queue == from.queue and from or START)
  end
end

-- Running jobs by the time of their claim. Reads all claims.
local function list_running(from)
  local some = {}
  for _, worker in ipairs(call('HKEYS', P .. 'workers')) do
    local all = call('HGETALL', P .. 'worker:' .. worker)
    for i = 1, #all, 2 do
      local at, queue = string.match(all[i + 1], '^%d+ %d+ [^ ]+ (%d+) (.*)$')
      local id = all[i]
      at = tonumber(at)
      if at and string.sub(id, 1, 1) ~= '#' and (only == '' or only == queue)
        and (at > from.due or at == from.due and id > from.id) then
        some[#some + 1] = {id = id, due = at, at = at, queue = queue, line = '', worker = worker}
      end
    end
  end
  table.sort(some, by_due)
  take(some)
end

-- Failed jobs, newest first.
local function list_failed(from)
  local key, at = P .. (only == '' and 'failed' or 'failed:' .. only), 0
  if from ~= START then
    at = call('ZCARD', key) - rank_after(key, from)
    if tonumber(call('ZSCORE', key, from.id) or nil) == from.due then at = at + 1 end
  end
  local some, ids = {}, call('ZRANGE', key, at, at + most, 'REV', 'WITHSCORES')
  for i = 1, #ids, 2 do
    local due = tonumber(ids[i + 1])
    some[#some + 1] = {id = ids[i], due = due, at = due, queue = origin_of(ids[i]) or only, line = ''}
  end
  take(some)
end

local LISTERS = {
  queue = list_queues, held = list_held, line = list_lines, running = list_running,
  failed = list_failed,
}
local SECTIONS = {
  ready = {'held', 'queue'}, delayed = {'queue', 'held'}, parked = {'line'}, running = {'running'},
  failed = {'failed'},
}
local sections = SECTIONS[status]
if limit ~= '' then sections = ({delayed = {'held'}, parked = {'line'}})[status] or {} end
local begun = ARGV[5] == ''
for _, name in ipairs(sections) do
  section = name
  if begun then LISTERS[name](START) end
  if name == ARGV[5] then
    begun = true
    LISTERS[name](after)
  end
  if stopped or want() <= 0 then break end
end

local jobs = {}
for i = 1, math.min(most, #found) do
  local job = found[i]
  local body, state = false, false
  if ARGV[10] == '0' then
    body, state = call('HGET', bodies_of(job.id), job.id), call('HGET', STATES, job.id)
  end
  local worker, limit = job.worker or '', job.limit or ''
  jobs[i] = {job.id, job.queue, status, digits(job.at), body, state, worker, limit, ''}
end
local following = stopped
if #found > most then following = found[most] end
if not following then return {jobs} end
return {jobs, {following.section, digits(following.due), following.id, following.queue, following.line}}
