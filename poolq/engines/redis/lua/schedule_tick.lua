#!lua
-- Advance schedules that are due, and store their jobs. This script has no flags, so a full server
-- rejects it before anything has run.
-- Parts: base, wake_tokens, ready, delayed, bodies, schedules, ticking.
--
-- ARGV and reply: as in part `ticking`, without rights.

return tick_all(0)
