#!lua flags=allow-oom
-- Failed jobs back to ready, with a fresh state.
-- Parts: base, bodies, tokens, ready.
--
-- ARGV: ids.
-- Reply: the ids that were there.

local found = {}
for _, id in ipairs(ARGV) do
  local queue = origin_of(id)
  if queue and call('ZREM', P .. 'failed:' .. queue, id) == 1 then
    call('HSET', STATES, id, stamp .. ' 0 0 0\n')
    wake(queue, append(queue, {id}))
    found[#found + 1] = id
  end
end
return found
