#!lua flags=no-writes
-- List holds, gates with slots, and limits that jobs wait for, that a person has set, or that have
-- starts in an open window.
-- Parts: parked_jobs.
--
-- Reply: for each limit {identity, limit, start, used, parked, microseconds until it resets,
--        released, starts in all windows, microseconds until a parked job may start, the limit that
--        a person has set or "", microseconds until its key's hold ends}. Start, used and the time
--        until it resets are 0 if no window is open. For a gate, used is the number of slots taken
--        now, and starts the number so far. A hold is listed with the window HOLD_WINDOW.

-- The highest number of limits. Those that jobs wait for come first.
local MAX_LIMITS = 1000
-- How many released jobs are examined in each queue, among those whose window has ended.
local MAX_OVER = 1000

local found, reply = {}, {}

local function note(identity)
  local use = found[identity]
  if not use then
    use = {identity, '0', '0', '0', 0, '0', 0, '0', '0', '', '0'}
    found[identity], reply[#reply + 1] = use, use
  end
  return use
end

local function note_lines(queue)
  local lines = call('ZRANGE', P .. 'lines:' .. queue, 0, MAX_LIMITS - #reply, 'WITHSCORES')
  for i = 1, #lines, 2 do
    local identity, slot = lines[i], math.max(0, tonumber(lines[i + 1]) - now)
    if identity ~= RELEASED then
      local use = note(identity)
      if use[5] == 0 or slot < tonumber(use[9]) then use[9] = digits(slot) end
      use[5] = use[5] + call('ZCARD', line_key(queue, identity))
      use[2] = digits(limit_of(queue, identity) or 0)
    end
  end
end

local function note_holds()
  local held = call('HSCAN', HOLDS, 0, 'COUNT', MAX_LIMITS)[2]
  for i = 1, #held, 2 do
    if #reply >= MAX_LIMITS then return end
    if end_of_hold(held[i + 1]) > 0 then note(HOLD_PREFIX .. held[i]) end
  end
end

-- Count the released jobs whose window has ended, by "<limit> <identity>". They are ready, although
-- a step has yet to move them. Returns nil if these are all released jobs of the queue.
local function count_over(queue)
  local held, over = P .. 'held:' .. queue, {}
  local ended = call('ZCOUNT', held, '-inf', stamp)
  if ended > 0 and ended == call('ZCARD', held) then return nil end
  if ended == 0 then return over end
  local ids = call('ZRANGE', held, '-inf', stamp, 'BYSCORE', 'LIMIT', 0, MAX_OVER)
  for _, by in ipairs(call('HMGET', P .. 'heldby:' .. queue, unpack(ids))) do
    local rule = by and string.match(by, '^%d+ (.*)$')
    if rule then over[rule] = (over[rule] or 0) + 1 end
  end
  return over
end

local function note_released(queue)
  local counts = call('HSCAN', P .. 'released:' .. queue, 0, 'COUNT', MAX_LIMITS)[2]
  local over = #counts > 0 and count_over(queue)
  if not over then return end
  for i = 1, #counts, 2 do
    local limit, identity = string.match(counts[i], '^(%d+) (.*)$')
    local waiting = (tonumber(counts[i + 1]) or 0) - (over[counts[i]] or 0)
    if identity and waiting > 0 and (found[identity] or #reply < MAX_LIMITS) then
      local use = note(identity)
      use[7] = use[7] + waiting
      if use[2] == '0' then use[2] = limit end
    end
  end
end

local queues = call('SSCAN', P .. 'lined', 0, 'COUNT', MAX_LIMITS)[2]
for _, queue in ipairs(queues) do
  if #reply >= MAX_LIMITS then break end
  note_lines(queue)
  note_released(queue)
end
for i, held in ipairs(call('HSCAN', GATED, 0, 'COUNT', MAX_LIMITS)[2]) do
  if i % 2 == 0 then
    for key in string.gmatch(held, '[^\n]+') do
      if #reply < MAX_LIMITS then note(GATE_PREFIX .. key) end
    end
  end
end
local overrides = call('SSCAN', P .. 'overrides', 0, 'COUNT', MAX_LIMITS)[2]
for _, identity in ipairs(overrides) do
  for _, name in ipairs({identity, '-' .. identity}) do
    if found[name] or #reply < MAX_LIMITS then
      note(name)[10] = call('GET', override_key(identity)) or ''
    end
  end
end
local any_holds = call('EXISTS', HOLDS) == 1
if any_holds then note_holds() end
if #reply < MAX_LIMITS then
  local windows = P .. 'windows'
  local open = call('ZRANGE', windows, stamp, '+inf', 'BYSCORE', 'LIMIT', 0, MAX_LIMITS - #reply)
  for _, identity in ipairs(open) do note(identity) end
end

local function read_gate(use)
  local key = gate_of(use[1])
  if not key then return end
  local limit, taken = gates().named(key)
  use[2], use[4], use[8] = digits(limit or use[2]), digits(call('HLEN', P .. 'gate:' .. key)), digits(taken)
end

local function read_windows(from, to)
  local keys = {}
  for i = from, to do keys[#keys + 1] = P .. 'win:' .. reply[i][1] end
  for i, stored in ipairs(call('MGET', unpack(keys))) do
    local use = reply[from + i - 1]
    read_gate(use)
    local start, used, limit, ever = string.match(stored or '', '^(%d+) (%d+) (%d+) ?(%d*)')
    local length = tonumber(string.match(use[1], '^%-?(%d+)')) or 0  -- written by hand
    if limit and use[2] == '0' then use[2] = limit end
    if string.sub(use[1], 1, 1) == '-' then start, used = window_of(use[1], length) end
    if not gate_of(use[1]) then use[8] = tonumber(ever) and ever or used or '0' end
    start = tonumber(start)
    if start and start <= now and now < start + length then
      use[3], use[4], use[6] = digits(start), digits(used), digits(start + length - now)
    end
  end
end

for from = 1, #reply, 1000 do read_windows(from, math.min(from + 999, #reply)) end
local function in_use(use)
  return use ~= nil and (use[4] ~= '0' or use[5] + use[7] > 0)
end

-- Leave out windows that have ended or begin in the future, if no job waits for the limit. If a
-- person has set a limit and neither of its windows is in use, show the fixed one.
local shown = {}
for _, use in ipairs(reply) do
  local key = any_holds and string.match(use[1], '^%-?%d+:(.*)$')
  local ends = key and hold_end(key) or 0
  if ends > 0 then use[11] = digits(ends - now) end
  local set = use[10] ~= '' and found['-' .. use[1]] ~= nil and not in_use(found['-' .. use[1]])
  set = set or (ends > 0 and is_hold(use[1]))
  if #shown < MAX_LIMITS and (in_use(use) or set) then shown[#shown + 1] = use end
end
return shown
