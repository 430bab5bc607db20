#!lua flags=allow-oom
-- Hold a key, or extend its hold.
-- Parts: holds.
--
-- ARGV: key, for how many microseconds.
-- Reply: for how many microseconds the key is held.

return digits(set_hold(ARGV[1], tonumber(ARGV[2])) - now)
