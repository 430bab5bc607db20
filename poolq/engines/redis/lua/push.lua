#!lua
-- Store jobs. This script has no flags, so a full server rejects it before anything has run.
-- Parts: base, wake_tokens, ready, push_plain, storing, push_later, counters, ties, new_jobs, push_unique,
--        gates, delayed, bodies, holds, window_opening, limit_windows, parked_jobs, push_gated,
--        settle_done, ready_list, waiting_jobs.
--
-- ARGV: groups, each "<queue>", kind and number of its jobs (at most 1000), and for each job:
--   "<n>"   id, body
--   "-<n>"  id, stored; a job that has a unique key until its start or end, and replaces no other;
--           the keys of a group differ
--   "d<n>"  id, stored, due, expires, '0 0 0 '; it asks for nothing
--   "k<n>"  id, stored, due, expires, asked; it replaces no job, and waits for no gate
--   "g<n>"  the same, of a job that may wait for a gate
--   "r<n>"  the same, of a job that may replace another
--       For `stored`, `due` and `expires`, see part `storing`; for `asked` part `new_jobs`.
-- Reply: for each job that gave way, its position (from 0), and the id of the job that has its key.

replace = replace_waiting
store_groups('r')
return given_way
