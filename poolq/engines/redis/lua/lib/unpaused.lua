-- Part `unpaused`: tells paused queues from others.

-- Return the names of the queues that are not paused, and of those that are.
local function split_paused(names)
  local open, shut = {}, {}
  for from = 1, #names, 1000 do
    local last = math.min(from + 999, #names)
    for k, paused in ipairs(call('SMISMEMBER', P .. 'paused', unpack(names, from, last))) do
      local found = paused == 1 and shut or open
      found[#found + 1] = names[from + k - 1]
    end
  end
  return open, shut
end
