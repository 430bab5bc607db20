-- Part `gated_admission`, only in `admit` (needs `plain_limit`, `wake_tokens`, `gates`, `bodies`, `holds`):
-- take slots of gates and starts of windows for a claim, or nothing at all. The gates are asked first,
-- because a job that they refuse uses no attempt. If all of its rules are gates, the script ends here,
-- because creating the functions of the following parts would cost a tenth of a short job.

-- Whether earlier jobs of the queue wait in the line of a gate.
local function is_behind(rule)
  if call('EXISTS', P .. 'gatequeues:' .. rule.key) == 0 then return false end
  local line = P .. 'line:' .. #queue .. ':' .. queue .. ':' .. GATE_PREFIX .. rule.key
  local head = call('ZRANGE', line, 0, 0, 'WITHSCORES')
  if not head[1] then return false end
  local _, due = origin_of(id)
  local first = tonumber(head[2])
  return first < (due or 0) or (first == due and head[1] < id)
end

local gated = {}
for i = 5, #ARGV, 3 do
  if ARGV[i + 1] .. ':' == GATE_PREFIX then
    gated[#gated + 1] = {limit = tonumber(ARGV[i]), window = GATE_WINDOW, key = ARGV[i + 2]}
  end
end

-- `take_windows`: takes a start of each window, or returns the reply if a window refuses; absent if
-- the rules have no window. `comes_too_early`: returns whether the claim must be given back first.
local function admit(rules, comes_too_early, take_windows)
  if ARGV[4] ~= '' then gates().leave(ARGV[4], ARGV[1]) end
  if reply then return reply end
  if comes_too_early and comes_too_early() then return {-3} end
  local wait, at = check_holds(rules)
  if wait > 0 then return {digits(wait), at - 1, digits(now + wait), 1, 0} end
  at = #gated > 0 and gates().refusing(rules, id, deploy_of(worker)) or 0
  for i, rule in ipairs(rules) do
    if at == 0 and rule.window == GATE_WINDOW and is_behind(rule) then at = i end
  end
  if at > 0 then return {1, at - 1, 0} end
  local refused = take_windows and take_windows()
  if refused then return refused end
  if #gated > 0 then gates().enter(rules, id, ARGV[1], name) end
  if take_windows and taken then note_start(worker, id, name, taken, queue) end
  return {0, -1, 0}
end

if 3 * #gated == #ARGV - 4 and how ~= 'r' then return admit(gated) end
