#!lua flags=allow-oom
-- Return a dead worker's claims and delete its registration.
-- Parts: recovery.
--
-- ARGV: worker, history line of the running job; if the death is known: request, finished, started,
--       settled, how the job ended (see DeathEnd in base.py), delay after a timeout.
-- Reply: {ids done, ids crashed, ids returned, ids timed out, ids cancelled}.

if call('HEXISTS', P .. 'workers', ARGV[1]) == 1 then
  local death
  if ARGV[3] then
    death = {
      request = tonumber(ARGV[3]),
      finished = tonumber(ARGV[4]),
      started = tonumber(ARGV[5]),
      settled = tonumber(ARGV[6]),
      ending = ARGV[7],
      delay = tonumber(ARGV[8]),
    }
  end
  recover(ARGV[1], death, ARGV[2])
end
return recovered()
