#!lua flags=allow-oom
-- Make failed jobs ready again, with a fresh state, some of them with another body.
-- Parts: base, bodies, wake_tokens, ready.
--
-- ARGV: n, n ids, then an id and its new body each.
-- Reply: the ids that were found.

local found, bodies, last = {}, {}, tonumber(ARGV[1]) + 1
for i = last + 1, #ARGV, 2 do bodies[ARGV[i]] = ARGV[i + 1] end

local function replace_body(id, body)
  local head = string.match(call('HGET', bodies_of(id), id), '^[^\n]*\n')
  call('HSET', bodies_of(id), id, head .. body)
end

for i = 2, last do
  local id = ARGV[i]
  local queue = origin_of(id)
  local failed = queue and P .. 'failed:' .. queue
  if queue and call('ZSCORE', failed, id) then
    if bodies[id] then replace_body(id, bodies[id]) end
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
