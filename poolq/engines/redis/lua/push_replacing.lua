#!lua
-- Store jobs, some of which replace waiting jobs that have their unique keys. This script has no
-- flags, so a full server rejects it before anything has run.
-- Parts: base, wake_tokens, ready, tied_fast_path, gates, ties, settle_done, delayed,
--        bodies, holds, window_opening, limit_windows, parked_jobs, ready_list, waiting_jobs,
--        tied_push.
--
-- ARGV and reply: as in part `tied_push`.

return push_tied(replace_waiting)
