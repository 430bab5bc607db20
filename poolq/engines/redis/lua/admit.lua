#!lua flags=allow-oom
-- Take a start of every rule that is a window, and a slot of every gate, or nothing at all. Gates
-- need a claim. If a claim is given, it must still be held and not be cancelled.
-- Parts: plain_limit, gated_admission, windowed_admission, parked_jobs.
--
-- ARGV: worker, id and name of the claim (id "" if there is none), then a line
--       "<request> <index> <id>" for each other claim of the worker whose job has ended, then for
--       each rule: limit and window as for `rule_of`, key. The slots of the ended jobs become free,
--       whatever the reply.
-- Reply: {0, -1, 0}: admitted
--        {1, position, 0}: the gate at this position refuses
--        {wait, position, end, 1, 0}: the key of the rule at this position is held
--        {wait, position, end, 0, limit}: this limit of the rule's window refuses
--        {-1}: the claim is not held or is cancelled; {-2}: the worker is not registered
--        {-3}: the claim must be given back, see part `released_first`
--        Positions count from 0. `wait`: in microseconds; `end`: when the wait ends.
--
-- The script gets here only if older code had named the limits of the claim's job. Now the rules of
-- the worker's code set the limits of the lines of the queue.

local deploy = deploy_of(worker)
for _, rule in ipairs(rules) do
  if set_limit(queue, rule, deploy) then wake(queue, 0) end
end
return reply
