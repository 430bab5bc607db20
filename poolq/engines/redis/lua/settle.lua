#!lua flags=allow-oom
-- End claims from another thread than the worker's main one.
-- Parts: base, settle_done, wake_tokens, ready, delayed, bodies, limit_windows, parking, claims,
--        settling.
--
-- ARGV: worker, then settlements as in parts `settle_done` and `settling`.
-- Reply: {0, stale ids, how often this worker has done so}, or {1}: the worker is not registered,
--        and nothing has changed.

local worker = P .. 'worker:' .. ARGV[1]
if call('EXISTS', worker) == 0 then return {1} end
local stale = {}
settle_others(worker, settle_runs(worker, 2, stale), stale)
return {0, stale, add(worker, '#aside', 1)}
