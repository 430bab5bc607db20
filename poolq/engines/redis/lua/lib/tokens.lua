-- Part `tokens`: what wakes a waiting keeper.

-- Wake one keeper of a queue, unless it is paused. `hint`: how many jobs are ready; 0: look again.
local function wake(queue, hint)
  local list = P .. 'wake:' .. queue
  if call('EXISTS', list) == 1 or call('SISMEMBER', P .. 'paused', queue) == 1 then return end
  call('RPUSH', list, hint)
end
