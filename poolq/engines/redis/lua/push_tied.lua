#!lua
-- Store jobs, some of which give way to jobs that have their unique keys. This script has no flags,
-- so a full server rejects it before anything has run.
-- Parts: base, wake_tokens, ready, tied_fast_path, gates, ties, settle_done, delayed,
--        tied_push.
--
-- ARGV and reply: as in part `tied_push`. No job replaces another.

return push_tied()
