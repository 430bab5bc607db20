#!lua
-- Store jobs. This script has no flags, so a full server rejects it before anything has run.
-- Parts: base, wake_tokens, ready, pushing.
--
-- ARGV: groups of jobs, see part `pushing`.
-- Reply: 1.

push_groups(1, '\n')
return 1
