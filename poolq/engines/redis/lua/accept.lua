#!lua flags=allow-oom
-- Record of which deploy a worker's code is.
--
-- ARGV: worker, the deploy (0: a new one). The number of a new deploy is the time, so it is higher
--       than the last even if that is lost. If the time is not higher than the last number, it is
--       the last number + 2, which leaves a number between for `take_old`.
-- Reply: the deploy, or 0 if the worker is not registered.

local worker, deploy = P .. 'worker:' .. ARGV[1], tonumber(ARGV[2])
if call('EXISTS', worker) == 0 then return 0 end
if deploy == 0 then
  local last = tonumber(call('MGET', P .. 'deploys')[1] or nil) or 0  -- nothing if it has the wrong type
  deploy = last >= now and last < 2 ^ 52 and last + 2 or now
  call('SET', P .. 'deploys', digits(deploy))
end
call('HSET', worker, '#deploy', digits(deploy))
return digits(deploy)
