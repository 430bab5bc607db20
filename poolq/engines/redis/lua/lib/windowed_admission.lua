-- Part `windowed_admission`, only in `admit` (needs `gated_admission`, `limit_windows`, `released_first`):
-- the same for a claim whose rules include windows, or that must ask for a start.

local rules, windows, places = {}, {}, {}
for i = 5, #ARGV, 3 do
  local rule = rule_of(ARGV[i], ARGV[i + 1], ARGV[i + 2])
  rules[#rules + 1] = rule
  if rule.window ~= GATE_WINDOW then windows[#windows + 1], places[#places + 1] = rule, #rules end
end

local function take_windows()
  local wait, at = take_starts(windows)
  if wait == 0 then return nil end
  return {digits(wait), places[at] - 1, digits(now + wait), 0, digits(windows[at].most)}
end

reply = admit(rules, function() return comes_too_early(queue, id, windows) end,
  #windows > 0 and take_windows)
if how ~= 'r' then return reply end
