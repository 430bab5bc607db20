#!lua flags=allow-oom
-- Take a start of each rule, or of none.
-- Parts: base, limits.
--
-- ARGV: for each rule: limit, window in microseconds, key.
-- Reply: {microseconds to wait (0: admitted), position from 0 of the rule that says so, else -1}.

local rules = {}
for i = 1, #ARGV, 3 do
  rules[#rules + 1] =
    {limit = tonumber(ARGV[i]), window = tonumber(ARGV[i + 1]), key = ARGV[i + 2]}
end
local wait, at = take(rules)
return {digits(wait), at - 1}
