#!lua flags=allow-oom
-- Take slots and starts as `admit_gated` does, also if jobs wait for a gate, or if the claim is to
-- ask for a start because older code has named its limits. Then its rules name the limits of the lines of its
-- queue.
-- Parts: base, wake_tokens, gates, gate_slots, ready, delayed, bodies, holds, window_opening,
--        limit_windows, parked_jobs, claims, released_first.
--
-- ARGV, Reply: as in `admit_gated`, but never {-3}.

local worker = P .. 'worker:' .. ARGV[1]
if call('EXISTS', worker) == 0 then return {-2} end
local id, name = ARGV[2], ARGV[3]
gate_slots().leave_ended(ARGV[4])
local how, queue, taken = holds(worker, id, name)
if not how or is_cancelled(how) then return {-1} end
if is_admitted(how) then return {0, -1, 0} end
local rules = {}
for i = 5, #ARGV, 3 do
  rules[#rules + 1] = rule_of(ARGV[i], ARGV[i + 1], ARGV[i + 2])
end

local windows, places = windows_of(rules)
if comes_too_early(queue, id, windows) then return {-4} end

-- What the newest code names applies from now on.
local deploy = deploy_of(worker)
gates().follow(rules, deploy)
local function name_limit(rule)
  local before, taken = gates().limit(rule.key)
  if before == rule.limit then return end
  gates().name(rule.key, rule.limit, taken, deploy)
  if before then gate_slots().open_lines(rule.key) end
end

-- Whether earlier jobs of the queue wait in the line of a gate.
local function is_behind(identity)
  local head = call('ZRANGE', line_key(queue, identity), 0, 0, 'WITHSCORES')
  if not head[1] then return false end
  local _, due = origin_of(id)
  local first = tonumber(head[2])
  return first < (due or 0) or (first == due and head[1] < id)
end

local function refused()
  for _, rule in ipairs(rules) do
    if rule.window == GATE_WINDOW then name_limit(rule) end
  end
  local at = gates().refusing(rules, id)
  if at > 0 then return at end
  for i, rule in ipairs(rules) do
    if rule.window == GATE_WINDOW and is_behind(identity_of(rule)) then return i end
  end
  return 0
end

local wait, at = check_holds(rules)
local held, ends = wait > 0, wait > 0 and now + wait or 0
if not held then
  at = refused()
  wait = at > 0 and 1 or 0
end
if at == 0 then
  if #windows > 0 then
    wait, at = take_starts(windows)
    at = places[at] or 0
    if wait > 0 then ends = now + wait end
  end
  if wait == 0 then
    gates().enter(rules, id, ARGV[1], name)
    if #windows > 0 then note_start(worker, id, name, taken, queue) end
  end
end
if how == 'r' then
  for _, rule in ipairs(rules) do
    if set_limit(queue, rule, deploy) then wake(queue, 0) end
  end
end
for _, rule in ipairs(rules) do
  if rule.window == GATE_WINDOW then gates().forget(rule.key) end
end
local most = wait > 0 and rules[at].most
return {digits(wait), at - 1, digits(ends), held and 1 or 0, most and digits(most) or 0}
