#!lua
-- Store jobs of which some expire. Like `push`, this script has no flags.
-- Parts: base, wake_tokens, ready, pushing.
--
-- ARGV: n (at most 1000), then n times an id, when the job is due (as in part `pushing`) and how long
--       after that it expires; then groups of jobs, see part `pushing`.
-- Reply: 1.

local states, first = {}, 3 * tonumber(ARGV[1]) + 2
for i = 2, first - 1, 3 do
  local due = tonumber(ARGV[i + 1])
  if string.sub(ARGV[i + 1], 1, 1) == '-' then due = now - due end
  states[#states + 1] = ARGV[i]
  states[#states + 1] = '0 0 0 0 ' .. digits(math.max(now, due) + tonumber(ARGV[i + 2])) .. '\n'
end
call('HSET', STATES, unpack(states))
push_groups(first, '\n')
return 1
