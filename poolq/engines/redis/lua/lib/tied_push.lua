-- Part `tied_push` (needs `settle_done`, `wake_tokens`, `ready`, `bodies`, `delayed`, `ties`): store
-- jobs with unique keys.
--
-- ARGV: for each job nine: "<queue>", due ("": now, a time, or "-<delay>"), id, body, how long after
--       it is due it expires (0: never), its rights as JSON ("": none), the key, how long it lasts (0:
--       until the job ends), 1 if the job replaces a waiting one, else 0.
-- Reply: for each job the id of the job that has its key.
--
-- The key comes before the job. So if the script fails in between, the key is void.

local function store_now(queue, id, body)
  call('HSET', bodies_of(id), id, stamp .. ' ' .. queue .. '\n' .. body)
  local waiting = append(queue, {id})
  if waiting <= 1 then activate(queue) end
  wake(queue, waiting)
end

local function store_later(queue, due, id, body)
  call('HSET', bodies_of(id), id, digits(due) .. ' ' .. queue .. '\n' .. body)
  local hint = add_delayed(queue, id, due)
  if hint then wake(queue, hint) end
end

local function store_job(queue, due, id, body, expires)
  local moment = tonumber(due) or now
  if string.sub(due, 1, 1) == '-' then moment = now - moment end
  if expires > 0 then
    call('HSET', STATES, id, '0 0 0 0 ' .. digits(math.max(now, moment) + expires) .. '\n')
  end
  if moment > now then store_later(queue, moment, id, body) else store_now(queue, id, body) end
end

-- `replace`: deletes a waiting job and returns true, or returns false if it does not wait.
local function push_tied(replace)
  local reply = {}
  for i = 1, #ARGV, 9 do
    local queue, due, id, body, expires, rights = unpack(ARGV, i, i + 5)
    local holder
    if rights ~= '' then
      local name = P .. 'unique:' .. ARGV[i + 6]
      holder = ties().holder(name)
      if holder and ARGV[i + 8] == '1' and replace(holder) then holder = nil end
      if not holder then
        ties().give(name, id, tonumber(ARGV[i + 7]))
        call('HSET', TIES, id, rights)
      end
    end
    if holder then count('skipped', queue, 1) else store_job(queue, due, id, body, tonumber(expires)) end
    reply[#reply + 1] = holder or id
  end
  return reply
end
