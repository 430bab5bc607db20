-- Part `limits`: fixed windows. A rule is {limit, window, key}; `window` in microseconds.

-- How many ended windows are taken out of the index for each one that opens.
local FORGOTTEN = 2

local function identity_of(rule)
  return digits(rule.window) .. ':' .. rule.key
end

-- The open window of an identity: its start and how many starts it had; nil, 0 when there is none.
-- One that begins in the future was opened before the clock went back, and is over.
local function window_of(identity, length)
  local stored = call('GET', P .. 'win:' .. identity)
  if stored then
    local start, used = string.match(stored, '^(%d+) (%d+)')
    start = tonumber(start)
    if start and start <= now and now < start + length then return start, tonumber(used) end
  end
  return nil, 0
end

-- How long until all rules allow a start (0: now), and the position of the rule that says so.
local function probe(rules)
  local wait, at = 0, 0
  for i, rule in ipairs(rules) do
    rule.identity = identity_of(rule)
    rule.start, rule.used = window_of(rule.identity, rule.window)
    if rule.start and rule.used >= rule.limit then
      local rest = rule.start + rule.window - now
      if rest > wait then wait, at = rest, i end
    end
  end
  return wait, at
end

-- The index must not grow without end, nor may one script forget 100,000 windows that have ended.
local function forget_ended(windows)
  local ended = call('ZRANGE', windows, '-inf', stamp, 'BYSCORE', 'LIMIT', 0, FORGOTTEN)
  if #ended > 0 then call('ZREM', windows, unpack(ended)) end
end

local function open(rule)
  local ends, ttl = now + rule.window, math.ceil(rule.window / 1000) + 1
  local windows = P .. 'windows'
  local first = stamp .. ' 1 ' .. digits(rule.limit)
  forget_ended(windows)
  call('ZADD', windows, digits(ends), rule.identity)
  if call('PTTL', windows) < ttl then call('PEXPIRE', windows, digits(ttl)) end
  call('SET', P .. 'win:' .. rule.identity, first, 'PX', digits(ttl))
end

-- Take a start of each rule or of none; returns as `probe` does.
local function take(rules)
  local wait, at = probe(rules)
  if wait > 0 then return wait, at end
  for _, rule in ipairs(rules) do
    if rule.start then
      local used = {digits(rule.start), digits(rule.used + 1), digits(rule.limit)}
      call('SET', P .. 'win:' .. rule.identity, table.concat(used, ' '), 'KEEPTTL')
    else
      open(rule)
    end
  end
  return 0, 0
end

-- From when until when the slots just taken count: while all of their windows are open.
local function span_of(rules)
  local from, to = 0, now
  for i, rule in ipairs(rules) do
    local start = rule.start or now
    from = math.max(from, start)
    to = i == 1 and start + rule.window or math.min(to, start + rule.window)
  end
  return digits(from) .. ':' .. digits(to)
end
