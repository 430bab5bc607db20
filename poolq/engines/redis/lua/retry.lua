#!lua flags=allow-oom
-- Make failed jobs ready again, with a fresh state.
-- Parts: base, bodies, wake_tokens, ready.
--
-- ARGV: ids.
-- Reply: the ids that were found.

local found = {}
for _, id in ipairs(ARGV) do
  local queue = origin_of(id)
  local failed = queue and P .. 'failed:' .. queue
  if queue and call('ZSCORE', failed, id) then
    call('HSET', STATES, id, stamp .. ' 0 0 0\n')
    local waiting = append(queue, {id})
    activate(queue)
    call('ZREM', failed, id)
    if call('EXISTS', failed) == 0 then call('ZREM', P .. 'failures', queue) end
    wake(queue, waiting)
    found[#found + 1] = id
  end
end
return found
