#!lua flags=allow-oom
-- Take a start of every rule that is a window, and a slot of every gate, or nothing at all. If a claim is
-- given, as gates need, it must still be held, and not be cancelled.
-- Parts: plain_limit, gated_admission, windowed_admission, parked_jobs.
--
-- ARGV: worker, id and name of the claim (id "" if there is none), lines of other claims of the worker
--       whose jobs have ended, "<request> <index> <id>", then for each rule: limit and window as for
--       `rule_of`, key. The slots of the ended jobs become free, whatever the reply.
-- Reply: {microseconds to wait (0: admitted; 1: a gate refuses), position (from 0) of the rule that
--        requires the wait (-1: none), when the wait ends (0: no wait, or a gate's)}; if another rule
--        refuses, then also 1 if its key is held, else 0, and the limit of starts that applies (0:
--        something else refuses); {-1} if the claim is not held or is cancelled; {-2} if the worker is
--        not registered; {-3} if the claim must be given back, see part `released_first`.
--
-- The script comes here only for a claim that is to ask because older code has named its limits. Its
-- rules name those of the lines of its queue.

local deploy = deploy_of(worker)
for _, rule in ipairs(rules) do
  if set_limit(queue, rule, deploy) then wake(queue, 0) end
end
return reply
