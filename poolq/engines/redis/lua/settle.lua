#!lua flags=allow-oom
-- End claims beside the worker's main thread.
-- Parts: base, done, tokens, ready, later, bodies, windows, lines, claims, settling.
--
-- ARGV: worker, then settlements as parts `done` and `settling` have them.
-- Reply: {0, stale ids, how often this worker has done so}, or {1}: the worker is not registered, and
--        nothing has happened.

local worker = P .. 'worker:' .. ARGV[1]
if call('EXISTS', worker) == 0 then return {1} end
local stale = {}
settle_others(worker, settle_runs(worker, 2, stale), stale)
return {0, stale, add(worker, '#aside', 1)}
