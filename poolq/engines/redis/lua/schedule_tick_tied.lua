#!lua
-- Advance schedules that are due, and store their jobs, some of which have unique keys. This script has
-- no flags, so a full server rejects it before anything has run.
-- Parts: base, wake_tokens, ready, gates, gate_slots, ties, settle_done, delayed, bodies, holds,
--        window_opening, limit_windows, parked_jobs, ready_list, waiting_jobs, tied_push, schedules,
--        ticking.
--
-- ARGV and reply: as in part `ticking`, with rights.

return tick_all(3, function(id, queue, i)
  local key, lasts, replaces = unpack(ARGV, i, i + 2)
  if key == '' then return true end
  local holder = take_key(id, key, tonumber(lasts), replaces == '1' and replace_waiting)
  if holder then count('skipped', queue, 1) end
  return not holder
end)
