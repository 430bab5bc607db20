#!lua flags=allow-oom
-- Make failed jobs ready again, with a fresh state, and some of them with another body. A job stays
-- failed if another job holds what it held, such as a unique key.
-- Parts: effects, failed_jobs, ready.
--
-- ARGV: n (at most 1000), n ids, then for some of them the id, the new body, and how long after the
--       retry the job expires (0: never; "": as long as before).
-- Reply: the ids of the jobs that are ready again.

local found, bodies, spans, last = {}, {}, {}, tonumber(ARGV[1]) + 1
for i = last + 1, #ARGV, 3 do bodies[ARGV[i]], spans[ARGV[i]] = ARGV[i + 1], tonumber(ARGV[i + 2]) end

local function replace_body(id, body)
  local head = string.match(call('HGET', bodies_of(id), id), '^[^\n]*\n')
  call('HSET', bodies_of(id), id, head .. body)
end

-- The end of a fresh state's first line: when the job expires. `old`: the state of the failed job.
local function expiry(id, old)
  local span = spans[id] or tonumber(string.match(old or '', '^%d+ %d+ %d+ %d+ (%d+)\n')) or 0
  return span > 0 and ' ' .. digits(now + span) or ''
end

each_failed({unpack(ARGV, 2, last)}, function(queue, ids)
  ids = effects().retry(ids)
  if #ids == 0 then return end
  local states, old = {}, call('HMGET', STATES, unpack(ids))
  for k, id in ipairs(ids) do
    if bodies[id] then replace_body(id, bodies[id]) end
    states[2 * k - 1], states[2 * k] = id, stamp .. ' 0 0 0' .. expiry(id, old[k]) .. '\n'
    found[#found + 1] = id
  end
  call('HSET', STATES, unpack(states))
  local waiting = append(queue, ids)
  activate(queue)
  leave_failed(queue, ids)
  wake(queue, waiting)
end)
return found
