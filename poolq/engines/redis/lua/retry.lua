#!lua flags=allow-oom
-- Make failed jobs ready again, with a fresh state, some of them with another body. Jobs whose unique
-- key another job has stay failed.
-- Parts: base, ties, failed_jobs, wake_tokens, ready.
--
-- ARGV: n (at most 1000), n ids, then an id and its new body each.
-- Reply: the ids of the jobs that are ready again.

local found, bodies, last = {}, {}, tonumber(ARGV[1]) + 1
for i = last + 1, #ARGV, 2 do bodies[ARGV[i]] = ARGV[i + 1] end

local function replace_body(id, body)
  local head = string.match(call('HGET', bodies_of(id), id), '^[^\n]*\n')
  call('HSET', bodies_of(id), id, head .. body)
end

local tied, taken = call('EXISTS', TIES) == 1, {}

each_failed({unpack(ARGV, 2, last)}, function(queue, ids)
  if tied then ids = ties().retakers(ids, taken) end
  if #ids == 0 then return end
  local states = {}
  for k, id in ipairs(ids) do
    if bodies[id] then replace_body(id, bodies[id]) end
    states[2 * k - 1], states[2 * k] = id, stamp .. ' 0 0 0\n'
    found[#found + 1] = id
  end
  call('HSET', STATES, unpack(states))
  local waiting = append(queue, ids)
  activate(queue)
  leave_failed(queue, ids)
  wake(queue, waiting)
end)
return found
