-- Part `wake_tokens`: wake waiting keepers by putting tokens into lists. One
-- list is for keepers that wait on all queues. A queue has its own list only while a keeper waits
-- on it by name, so that no tokens accumulate.

local WAKE, NAMED = P .. 'wake', P .. 'named'

-- Wake a keeper that waits on all queues, and one that waits on this queue by name, unless the
-- queue is paused. `hint`: how many jobs are ready, or 0 if the keeper must poll again.
local function wake(queue, hint)
  -- One call checks for both: a token for all queues counts 1, keepers waiting by name count 2.
  local found, missing = call('EXISTS', WAKE, NAMED, NAMED), false
  if found == 1 then return end
  local list = P .. 'wake:' .. queue
  if found >= 2 then missing = call('EXISTS', P .. 'named:' .. queue, list, list) == 1 end
  if found == 3 and not missing then return end
  if call('SISMEMBER', P .. 'paused', queue) == 1 then return end
  if found % 2 == 0 then call('RPUSH', WAKE, hint) end
  if missing then call('RPUSH', list, hint) end
end
