-- Part `storing` (needs `wake_tokens`, `ready`): store a new job unconditionally.

-- Store a job's body, and when the job expires. Returns when the job is due. `stored`: the text
-- after the queue in bodies:<moment>. `due`: a time, or "-<delay>"; a time in the past counts as
-- now. `expires`: how long after the due time the job expires; 0: never.
local function store_body(queue, id, stored, due, expires)
  local moment = tonumber(due)
  moment = math.max(now, moment > 0 and moment or now - moment)
  if tonumber(expires) > 0 then
    call('HSET', STATES, id, '0 0 0 0 ' .. digits(moment + tonumber(expires)) .. '\n')
  end
  call('HSET', bodies_of(id), id, digits(moment) .. ' ' .. queue .. stored)
  return moment
end

-- Store a job, due now or later.
local function store_job(queue, id, stored, due, expires)
  local moment = store_body(queue, id, stored, due, expires)
  if moment > now then
    local hint = add_delayed(queue, id, moment)
    if hint then wake(queue, hint) end
  else
    local waiting = append(queue, {id})
    if waiting <= 1 then activate(queue) end
    wake(queue, waiting)
  end
end
