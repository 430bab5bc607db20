#!lua flags=allow-oom
-- End claims from a thread other than the worker's main thread.
-- Parts: settling.
--
-- ARGV: worker, then settlements as in parts `settle_done` and `settling`.
-- Reply: {0, stale ids, how often this script has run for the worker}, or {1}, without any
--        change, if the worker is not registered.

local worker = P .. 'worker:' .. ARGV[1]
if call('EXISTS', worker) == 0 then return {1} end
local stale = {}
settle_others(worker, settle_runs(worker, 2, stale), stale)
return {0, stale, add(worker, '#aside', 1)}
