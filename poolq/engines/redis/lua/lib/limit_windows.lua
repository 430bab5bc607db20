-- Part `limit_windows` (needs `holds`, `window_opening`): windows of limits. A rule is {limit, window, key, cost,
-- sliding}, with `window` in microseconds. A job that starts counts as min(cost, limit) starts.
--
-- For a sliding window, starts:<identity> has a member for each job whose start may still count,
-- with the start's time as score. A member is "<count> <cost>": `count` (16 digits) is a running
-- total of starts, which includes those of this job. Both times and counts increase from member to
-- member, so the number of starts in a range is the difference of two counts.

-- The greatest limit of a sliding window.
local MAX_SLIDING_LIMIT = 1000

-- Scripts get a limit as "<limit>", or "<limit>*<cost>" if a start counts as more than one, and a
-- window as "<window>", or "-<window>" if it slides.
local function rule_of(limit, window, key)
  local most, length, cost = tonumber(limit), tonumber(window), 1
  if most and length > 0 then return {limit = most, window = length, key = key, cost = 1} end
  if not most then limit, cost = string.match(limit, '^(%d+)%*(%d+)$') end
  return {limit = tonumber(limit), window = math.abs(length), key = key, cost = tonumber(cost),
    sliding = length < 0}
end

local function identity_of(rule)
  if rule.sliding then return '-' .. digits(rule.window) .. ':' .. rule.key end
  return digits(rule.window) .. ':' .. rule.key
end

-- Return time, count and cost of the first member of starts:<identity> that ZRANGE finds, if any.
local function start_at(identity, ...)
  local found = call('ZRANGE', P .. 'starts:' .. identity, ...)
  local count, cost = string.match(found[1] or '', '^(%d+) (%d+)$')
  if count then return tonumber(found[2]), tonumber(count), tonumber(cost) end
end

-- Return three values: the time of the first start that counts in a sliding window (nil if none
-- counts), the running total before this start, and the running total after the last start. A start
-- in the future was made before the clock went back, and does not count.
local function sliding_starts(identity, length)
  local from = '(' .. digits(now - length)
  local first, count, cost =
    start_at(identity, from, stamp, 'BYSCORE', 'LIMIT', 0, 1, 'WITHSCORES')
  if not first then return nil, 0, 0 end
  local _, last = start_at(identity, stamp, from, 'BYSCORE', 'REV', 'LIMIT', 0, 1, 'WITHSCORES')
  return first, count - cost, last
end

-- Return when the running total of a sliding window reached `wanted`: the time of the first start
-- whose `count` is at least `wanted`, or of the last start if there is no such start.
local function time_of_start(identity, length, wanted)
  local key = P .. 'starts:' .. identity
  local low = call('ZCOUNT', key, '-inf', digits(now - length))
  local high = call('ZCOUNT', key, '-inf', stamp) - 1
  while low < high do
    local middle = math.floor((low + high) / 2)
    local _, count = start_at(identity, middle, middle, 'WITHSCORES')
    if count >= wanted then high = middle else low = middle + 1 end
  end
  return (start_at(identity, low, low, 'WITHSCORES')) or now
end

-- Forget the starts that no longer count in a sliding window.
local function forget_starts(rule)
  local key = P .. 'starts:' .. rule.identity
  call('ZREMRANGEBYSCORE', key, '-inf', digits(now - rule.window))
  call('ZREMRANGEBYSCORE', key, '(' .. stamp, '+inf')
end

-- The key of the limit that a person has set in place of the one in the code.
local function override_key(identity)
  return P .. 'override:' .. string.match(identity, '^%-?(.*)$')
end

-- Return four values: when the identity's open window began (nil if none is open), the number of
-- starts in it (0 if none is open), the number of starts in all windows so far, and the limit that
-- a person has set (or nil). A window that begins in the future was opened before the clock went
-- back, and counts as ended. A sliding window begins with the first start that counts in it.
local function window_of(identity, length)
  local is_sliding = string.byte(identity) == 45  -- "-"
  local override = is_sliding and override_key(identity) or P .. 'override:' .. identity
  local found, total = call('MGET', P .. 'win:' .. identity, override), 0
  local stored, set = found[1], found[2] and tonumber(found[2]) or nil
  if is_sliding then
    local first, before, last = sliding_starts(identity, length)
    set = set and math.min(set, MAX_SLIDING_LIMIT)
    return first, last - before, tonumber(string.match(stored or '', '%d+$')) or 0, set
  end
  if stored then
    local start, used, ever = string.match(stored, '^(%d+) (%d+) %d+ ?(%d*)')
    start, total = tonumber(start), tonumber(ever) or tonumber(used) or 0
    if start and start <= now and now < start + length then
      return start, tonumber(used), total, set
    end
  end
  return nil, 0, total, set
end

-- How long to wait for a rule that refuses a start. Its field `most` is the limit that applies.
local function wait_for(rule)
  if not rule.sliding then return rule.start + rule.window - now end
  local _, _, last = sliding_starts(rule.identity, rule.window)
  local wanted = last + rule.counted - rule.most
  return time_of_start(rule.identity, rule.window, wanted) + rule.window - now
end

-- How long until all rules allow a start (0: now), and the position of the rule that requires the
-- wait.
local function check_rules(rules)
  local wait, at = 0, 0
  for i, rule in ipairs(rules) do
    rule.identity = identity_of(rule)
    rule.start, rule.used, rule.total, rule.most = window_of(rule.identity, rule.window)
    if not rule.most then rule.most = rule.limit end
    rule.counted = rule.cost
    if rule.cost > 1 then rule.counted = math.min(rule.cost, rule.most) end
    if rule.start and rule.used + rule.counted > rule.most then
      local rest = wait_for(rule)
      if rest > wait then wait, at = rest, i end
    end
  end
  return wait, at
end

local function add_start(rule)
  local key, ttl = P .. 'starts:' .. rule.identity, math.ceil(rule.window / 1000) + EXTRA_TTL
  forget_starts(rule)
  local _, _, last = sliding_starts(rule.identity, rule.window)
  local count = string.format('%016.0f', last + rule.counted)
  call('ZADD', key, stamp, count .. ' ' .. digits(rule.counted))
  call('PEXPIRE', key, digits(ttl))
  open_window(rule)
end

-- Take one start from each rule, or none at all. Does not check whether keys are held. Returns the
-- same as `check_rules`.
local function take_starts(rules)
  local wait, at = check_rules(rules)
  if wait > 0 then return wait, at end
  for _, rule in ipairs(rules) do
    if rule.sliding then
      add_start(rule)
    elseif rule.start then
      local used =
        {rule.start, rule.used + rule.counted, rule.limit, rule.total + rule.counted}
      for at, number in ipairs(used) do used[at] = digits(number) end
      call('SET', P .. 'win:' .. rule.identity, table.concat(used, ' '), 'KEEPTTL')
    else
      open_window(rule)
    end
  end
  return 0, 0
end

-- The span of time in which the slots just taken count: all of their windows are open in it. If a
-- window slides, the span ends now: the start was counted for this time, not for a later one.
local function span_of(rules)
  local from, to = 0, now
  for i, rule in ipairs(rules) do
    local start = rule.start or now
    local ends = rule.sliding and now or start + rule.window
    from = math.max(from, start)
    to = i == 1 and ends or math.min(to, ends)
  end
  return digits(from) .. ':' .. digits(to)
end
