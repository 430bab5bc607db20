-- Part `released_first` (needs `bodies`, `limit_windows`): the order of starts under a limit that has
-- released jobs.

-- How many released jobs that are due are examined.
local MAX_RELEASED = 16

-- Whether one of these rules has released a job of this queue that was due before job `id`. The
-- released job must be due again and not claimed yet.
local function comes_too_early(queue, id, rules)
  local due = call('ZRANGE', P .. 'held:' .. queue, '-inf', stamp, 'BYSCORE', 'LIMIT', 0, MAX_RELEASED)
  if #due == 0 then return false end
  local _, mine = origin_of(id)
  for i, by in ipairs(call('HMGET', P .. 'heldby:' .. queue, unpack(due))) do
    local its, identity = string.match(by or '', '^(%d+) %d+ (.*)$')
    its = tonumber(its)
    if its and mine and (its < mine or its == mine and due[i] < id) then
      for _, rule in ipairs(rules) do
        if identity_of(rule) == identity then return true end
      end
    end
  end
  return false
end
