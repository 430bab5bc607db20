#!lua flags=allow-oom
-- Take starts as `admit` does, for a claim that is being reviewed. From now on, the job's rules
-- apply to the lines of its queue.
-- Parts: base, wake_tokens, gates, ready, delayed, bodies, holds, window_opening, limit_windows,
--        parked_jobs, claims.
--
-- ARGV, Reply: as in `admit`.

local worker = P .. 'worker:' .. ARGV[1]
if call('EXISTS', worker) == 0 then return {-2} end
local how = holds(worker, ARGV[2], ARGV[3])
if not how or is_cancelled(how) then return {-1} end
local queue = string.match(call('HGET', worker, ARGV[2]), '^%d+ %d+ [^ ]+ %d+ (.*)$')
local since, rules = registered_at(worker), {}
for i = 4, #ARGV, 3 do
  rules[#rules + 1] = rule_of(ARGV[i], ARGV[i + 1], ARGV[i + 2])
end
local wait, at, held = take(rules)
for _, rule in ipairs(rules) do
  unmark(queue, identity_of(rule), since)
  if set_limit(queue, rule) then wake(queue, 0) end
end
if wait == 0 then return {0, -1, 0} end
local most = rules[at].most
return {digits(wait), at - 1, digits(now + wait), held and 1 or 0, most and digits(most) or 0}
