-- Part `tokens`: what wakes a waiting keeper. One list wakes those who wait on all queues; a queue has
-- one of its own only while somebody waits on it by name, so that no token stays behind for each.

local WAKE, NAMED = P .. 'wake', P .. 'named'

-- Wake one keeper of a queue, of each kind, unless it is paused. `hint`: how many jobs are ready; 0:
-- look again.
local function wake(queue, hint)
  -- In one call: 1 for the token of all queues, 2 if any are waited on by name.
  local found, missing = call('EXISTS', WAKE, NAMED, NAMED), false
  if found == 1 then return end
  local list = P .. 'wake:' .. queue
  if found >= 2 then missing = call('EXISTS', P .. 'named:' .. queue, list, list) == 1 end
  if found == 3 and not missing then return end
  if call('SISMEMBER', P .. 'paused', queue) == 1 then return end
  if found % 2 == 0 then call('RPUSH', WAKE, hint) end
  if missing then call('RPUSH', list, hint) end
end
