#!lua flags=allow-oom
-- Take one start from every rule, or none at all. If a claim is given, it must still be held, and
-- not be cancelled.
-- Parts: base, claims, window_opening, plain_limit, bodies, holds, limit_windows, released_first.
--
-- ARGV: worker, id and name of the claim (id "" if there is none), then for each rule: limit and
--       window as for `rule_of`, key.
-- Reply: {microseconds to wait (0: admitted), position (from 0) of the rule that requires the wait
--        (-1: none), when the wait ends (0: no wait)}; if it refuses, then also 1 if the rule's key
--        is held, else 0, and the limit of starts that applies (0: something else refuses);
--        {-1} if the claim is not held or is cancelled; {-2} if the worker is not registered; {-3}
--        if the claim must be given back, see part `released_first`.

local rules = {}
for i = 4, #ARGV, 3 do
  rules[#rules + 1] = rule_of(ARGV[i], ARGV[i + 1], ARGV[i + 2])
end
if comes_too_early(queue, id, rules) then return {-3} end
local wait, at, held = take(rules)
if wait == 0 then
  if taken then note_start(worker, id, name, taken, queue) end
  return {0, -1, 0}
end
local most = rules[at].most
return {digits(wait), at - 1, digits(now + wait), held and 1 or 0, most and digits(most) or 0}
