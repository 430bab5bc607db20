#!lua
-- Store jobs. This script has no flags, so a full server rejects it before anything has run.
-- Parts: push_plain, push_later, new_jobs, waiting_jobs.
--
-- ARGV: groups, each "<queue>", kind and number of its jobs (at most 1000), and for each job:
--   "<n>"   id, body
--   "-<n>"  id, stored; the job has a unique key until its start or end, and replaces no other job;
--           the keys of a group differ
--   "a<n>"  id, stored, due, expires, asked; see part `storing`, and for `asked` part `new_jobs`
--   "d<n>"  the same, of jobs that ask for nothing
-- Reply: for each job that was not stored: its position (from 0), and the job that has its key. Or
-- an error; "STORED <n> <reason>" if the first n jobs are stored, or have given way.

replace = replace_waiting
local given_way = {}
while at < #ARGV do
  local queue, kind, n = ARGV[at], string.match(ARGV[at + 1], '^([-ad])(%d+)$')
  at = at + 2
  for k = place, place + n - 1 do
    local holder
    if kind == '-' then
      holder = try_to_store(k, store_new, queue, ARGV[at], ARGV[at + 1], '0', '0', '0 0 0 ')
      at = at + 2
    else
      holder = try_to_store(k, store_new, queue, unpack(ARGV, at, at + 4))
      at = at + 5
    end
    if failure then return failure end
    if holder then
      given_way[#given_way + 1] = k
      given_way[#given_way + 1] = holder
    end
  end
  place = place + n
end
return given_way
