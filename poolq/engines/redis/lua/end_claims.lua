#!lua flags=allow-oom
-- End claims of a worker that `claims_of` has fenced. With the last ones, delete its registration.
-- Parts: settling.
--
-- ARGV: worker, 1 if these are its last claims, else 0, then settlements as in parts `settle_done`
--       and `settling`.
-- Reply: the ids of claims that were no longer held, or whose jobs were deleted as cancelled.

local name, worker, stale = ARGV[1], P .. 'worker:' .. ARGV[1], {}
settle_others(worker, settle_runs(worker, 3, stale), stale)
if ARGV[2] == '1' then
  local node = call('HGET', worker, '#node') or call('HGET', P .. 'workers', name)
  if node then redis.pcall('SREM', P .. 'node:' .. node, name) end
  call('HDEL', P .. 'workers', name)
  call('DEL', worker)
end
return stale
