#!lua flags=allow-oom
-- End claims beside the worker's main thread.
-- Parts: base, bodies, ready, limits, parking, settling.
--
-- ARGV: worker, then settlements as part `settling` has them.
-- Reply: {0, stale ids}, or {1}: the worker is not registered, and nothing has happened.

local worker = P .. 'worker:' .. ARGV[1]
if call('EXISTS', worker) == 0 then return {1} end
return {0, settle(worker, 2)}
