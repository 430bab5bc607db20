#!lua flags=allow-oom
-- Take slots of gates and starts of windows for a claim, or nothing at all. The gates are asked first,
-- because a job that they refuse uses no attempt.
-- Parts: base, plain_gate, claims, gates, bodies, holds, window_opening, limit_windows, released_first.
--
-- ARGV: worker, id and name of the claim, lines of other claims of the worker whose jobs have ended,
--       "<request> <index> <id>", then for each rule as in `admit`. The slots of the ended jobs become
--       free, whatever the reply.
-- Reply: as in `admit`; if a gate refuses, the wait is 1, and it ends at 0. {-3} if jobs wait for a
--        gate that has room, or for one that has been left; then call `admit_waiting`.

if call('EXISTS', worker) == 0 then return {-2} end
local left = {}
for ended_name, ended in string.gmatch(ARGV[4], '(%d+ %d+ )([^\n]+)') do
  local held, waited = gates().leave(ended, ended_name, ARGV[1])
  if waited then return {-3} end
  if held then
    gates().each(held, function(key)
      call('HDEL', P .. 'gate:' .. key, ended)
      left[key] = true
    end)
    call('HDEL', GATED, ended)
  end
end

-- Forget the limits of gates that nobody uses. `entered_now`: whether this job has entered its gates.
local function forget_left(rules, entered_now)
  for _, rule in ipairs(entered_now and rules or {}) do left[rule.key] = nil end
  for key in pairs(left) do gates().forget(key) end
end

-- The slots of ended jobs are free now.
if is_single and ARGV[4] ~= '' and sit('') then
  forget_left()
  return {0, -1, 0}
end

local how, queue, taken = holds(worker, id, name)
if not how or is_cancelled(how) then
  forget_left()
  return {-1}
end
if is_admitted(how) then
  forget_left()
  return {0, -1, 0}
end
local rules, windows, places = {}, {}, {}
for i = 5, #ARGV, 3 do
  local rule = rule_of(ARGV[i], ARGV[i + 1], ARGV[i + 2])
  rules[#rules + 1] = rule
  if rule.window ~= GATE_WINDOW then windows[#windows + 1], places[#places + 1] = rule, #rules end
end

if comes_too_early(queue, id, windows) then
  forget_left()
  return {-4}
end
local held_for, held_at = check_holds(rules)
if held_for > 0 then
  forget_left()
  return {digits(held_for), held_at - 1, digits(now + held_for), 1, 0}
end

-- What the newest code names applies from now on, to a gate that is in use.
local deploy = deploy_of(worker)
gates().follow(rules, deploy)
local function name_limit(rule)
  local before, taken = gates().limit(rule.key)
  if before and before ~= rule.limit then gates().name(rule.key, rule.limit, taken, deploy) end
end

local at = 0
for i, rule in ipairs(rules) do
  if rule.window == GATE_WINDOW then
    local has_room = gates().has_room(rule.key, rule.limit, id)
    local named = gates().limit(rule.key)
    if call('EXISTS', P .. 'gatequeues:' .. rule.key) == 1 and (has_room or named ~= rule.limit) then
      forget_left()
      return {-3}
    end
    if not has_room and at == 0 then at = i end
  end
end
if at > 0 then
  for _, rule in ipairs(rules) do
    if rule.window == GATE_WINDOW then name_limit(rule) end
  end
  forget_left()
  return {1, at - 1, 0}
end
local wait = 0
if #windows > 0 then wait, at = take_starts(windows) end
if wait > 0 then
  forget_left()
  return {digits(wait), places[at] - 1, digits(now + wait), 0, digits(windows[at].most)}
end
gates().enter(rules, id, ARGV[1], name, deploy)
if #windows > 0 then note_start(worker, id, name, taken, queue) end
forget_left(rules, true)
return {0, -1, 0}
