#!lua flags=allow-oom
-- Give a dead worker's claims back and delete its registration.
-- Parts: base, done, tokens, ready, later, bodies, windows, lines, claims, settling, recovery.
--
-- ARGV: worker, history line of the crash, and where the death is known: request, finished,
--       started, before, settled; and where it timed out: delay.
-- Reply: {ids done, ids crashed, ids returned, ids timed out}.

local fates = {done = {}, crashed = {}, returned = {}, timed_out = {}}
if call('HEXISTS', P .. 'workers', ARGV[1]) == 1 then
  local death
  if ARGV[3] then
    death = {
      request = tonumber(ARGV[3]),
      finished = tonumber(ARGV[4]),
      started = tonumber(ARGV[5]),
      before = tonumber(ARGV[6]),
      settled = tonumber(ARGV[7]),
      delay = tonumber(ARGV[8]),
    }
  end
  recover(ARGV[1], death, ARGV[2], fates)
end
return {fates.done, fates.crashed, fates.returned, fates.timed_out}
