#!lua flags=allow-oom
-- Take one start of every rule, or none at all; for a claim only while it is held.
-- Parts: base, limit_windows, claims.
--
-- ARGV: worker, id and name of the claim (id "": for no claim), then for each rule: limit, window
--       in microseconds, key.
-- Reply: {microseconds to wait (0: admitted), position from 0 of the rule that requires the wait,
--        else -1, when the wait ends}; {-1}: the claim is not held; {-2}: the worker is not
--        registered.

if ARGV[2] ~= '' then
  local worker = P .. 'worker:' .. ARGV[1]
  if call('EXISTS', worker) == 0 then return {-2} end
  if not holds(worker, ARGV[2], ARGV[3]) then return {-1} end
end
local rules = {}
for i = 4, #ARGV, 3 do
  rules[#rules + 1] =
    {limit = tonumber(ARGV[i]), window = tonumber(ARGV[i + 1]), key = ARGV[i + 2]}
end
local wait, at = take(rules)
return {digits(wait), at - 1, wait > 0 and digits(now + wait) or 0}
