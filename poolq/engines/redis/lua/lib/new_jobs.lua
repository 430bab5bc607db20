-- Part `new_jobs` (needs `storing`, `counters`, `unique_keys`, `parked_jobs`): store any new job.
--
-- The job's unique key is stored before its body, see part `unique_keys`. `asked` is
-- "<lasts> <replaces> <limit> <key>": for how long the job holds its unique key (0: until the job
-- ends), whether it replaces a waiting job that has this key (1 or 0), and the limit and the key of
-- the gate in whose wait list it is stored, due now (limit 0: none).

-- Deletes a waiting job. Scripts set this to `replace_waiting`, whose part needs other parts.
local replace

-- `opened`: the wait lists to which this script has added jobs. `deploy`: the newest deploy.
local opened, deploy = {}, tonumber(call('MGET', P .. 'deploys')[1] or nil) or 0

-- Of the limits named by dispatches for a gate, the last counts, unless workers' code named one.
local function name_limit(rule)
  local before, taken, by = gates().named(rule.key)
  if not before or before == rule.limit or by > 0 then return end
  gates().name(rule.key, rule.limit, taken, 0)
  gates().open_lines(rule.key)
end

-- Store a job in the wait list of its gate.
local function store_waiting(queue, id, stored, expires, limit, key)
  local rule = {limit = limit, window = GATE_WINDOW, key = key}
  local identity = identity_of(rule)
  local line = line_key(queue, identity)
  store_body(queue, id, stored, '0', expires)
  local rules = '1 ' .. digits(deploy) .. '\n' .. digits(limit) .. ' ' .. digits(GATE_WINDOW) .. ' ' .. key
  call('HSET', P .. 'parkrules:' .. queue, id, rules)
  if opened[line] then
    call('ZADD', line, stamp, id)
    return
  end
  opened[line] = true
  mark_known(queue)
  name_line(queue, identity, rule.limit, deploy)
  name_limit(rule)
  if join_line(queue, id, now, rule) then wake(queue, 0) end
end

-- Take a unique key. Returns nil, or the job that has it. The key comes before the job: if the script
-- fails in between, the key is void.
local function take_key(id, key, lasts, replaces)
  local name = P .. 'unique:' .. key
  local holder = unique_keys().holder(name)
  if holder and not (replaces and replace(holder)) then return holder end
  unique_keys().give(name, id, lasts)
end

-- Returns nil, or the job that has the unique key, if the new job is not stored for this reason.
local function store_new(queue, id, stored, due, expires, asked)
  local lasts, replaces, limit, gate = string.match(asked, '^(%d+) ([01]) (%d+) (.*)$')
  local key = string.match(stored, '^\t%a+ ([^\n]*)\n')
  local holder = key and take_key(id, key, tonumber(lasts), replaces == '1')
  if holder then
    count('skipped', queue, 1)
    return holder
  end
  if limit == '0' then
    store_job(queue, id, stored, due, expires)
  else
    store_waiting(queue, id, stored, expires, tonumber(limit), gate)
  end
end
