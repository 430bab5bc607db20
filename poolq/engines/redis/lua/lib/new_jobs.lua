-- Part `new_jobs` (needs `storing`, `counters`, `ties`): store a new job, whatever it asks for.
--
-- Its unique key is in what is stored of it, see part `ties`. What else it asks for is
-- "<lasts> <replaces> <limit> <key>": for how long it holds its unique key (0: until the job ends),
-- whether it replaces a waiting job that has it (1 or 0), and the limit and the key of the gate in
-- whose wait list it is stored, due now (limit 0: none).

-- How to delete a waiting job (part `waiting_jobs`), and to store one that waits for a gate (part
-- `push_gated`). Scripts set them whose jobs may need them.
local replace, store_waiting

-- Take a unique key. Returns nil, or the job that has it. The key comes before the job: if the script
-- fails in between, the key is void.
local function take_key(id, key, lasts, replaces)
  local name = P .. 'unique:' .. key
  local holder = ties().holder(name)
  if holder and not (replaces and replace(holder)) then return holder end
  ties().give(name, id, lasts)
end

-- Returns nil, or the job to which this one gives way.
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
