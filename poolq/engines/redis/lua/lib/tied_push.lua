-- Part `tied_push` (needs `settle_done`, `wake_tokens`, `ready`, `bodies`, `delayed`, `ties`): store
-- jobs with unique keys.
--
-- ARGV: for each job five: "<queue>", id, what follows the queue where the body is stored, the key ("":
--       none), and how: "" as usual, "r" if the job replaces a waiting one, "<lasts>" if the key is held
--       for a time, or "<due>,<expires>,<lasts>,<replaces>": due ("": now, a time, or "-<delay>"), how
--       long after that it expires (0: never), how long the key lasts (0: until the job ends), 1 or 0.
-- Reply: 1 if the job is stored, or for each job the id of the job that has its key.
--
-- The key comes before the job. So if the script fails in between, the key is void.

local function store_now(queue, id, stored)
  call('HSET', bodies_of(id), id, stamp .. ' ' .. queue .. stored)
  local waiting = append(queue, {id})
  if waiting <= 1 then activate(queue) end
  wake(queue, waiting)
end

local function store_later(queue, due, id, stored)
  call('HSET', bodies_of(id), id, digits(due) .. ' ' .. queue .. stored)
  local hint = add_delayed(queue, id, due)
  if hint then wake(queue, hint) end
end

local function store_job(queue, due, id, stored, expires)
  local moment = tonumber(due) or now
  if string.sub(due, 1, 1) == '-' then moment = now - moment end
  if expires > 0 then
    call('HSET', STATES, id, '0 0 0 0 ' .. digits(math.max(now, moment) + expires) .. '\n')
  end
  if moment > now then store_later(queue, moment, id, stored) else store_now(queue, id, stored) end
end

-- Returns due, expires, lasts, and whether the job replaces another.
local function how_of(how)
  local due, expires, lasts, replaces = string.match(how, '^([^,]*),(%d+),(%d+),([01])$')
  if not due then return '', 0, tonumber(how) or 0, how == 'r' end
  return due, tonumber(expires), tonumber(lasts), replaces == '1'
end

-- Give a key to a job. Returns nil, or the job that has the key. `replace`: nil or false, or a function
-- that deletes a waiting job and returns true, or false if it does not wait.
local function take_key(id, key, lasts, replace)
  local name = P .. 'unique:' .. key
  local holder = ties().holder(name)
  if holder and not (replace and replace(holder)) then return holder end
  ties().give(name, id, lasts)
  count_ties(1)
end

-- `replace`: for those jobs that replace others.
local function push_tied(replace)
  local reply = {}
  for i = 1, #ARGV, 5 do
    local queue, id, stored, key, how = unpack(ARGV, i, i + 4)
    local due, expires, lasts, replaces = how_of(how)
    local holder
    if key ~= '' then holder = take_key(id, key, lasts, replaces and replace) end
    if holder then count('skipped', queue, 1) else store_job(queue, due, id, stored, expires) end
    reply[#reply + 1] = holder or id
  end
  return reply
end
