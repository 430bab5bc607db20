-- Part `push_plain`, only in `push` (needs `wake_tokens`, `ready`): store jobs that are due now and ask for
-- nothing, or for unique keys that nobody has. If there are no others, the script ends here, because
-- creating the functions of the following parts would take longer than this: a quarter more CPU of
-- client and server for a plain job from its dispatch until it is settled, if jobs are stored one by one.

-- Store n jobs that are due now. From `i` on, ARGV has an id and a text for each job. The text is
-- stored after the queue and `between`.
local function store_now(queue, between, n, i)
  local head, ids, stored = stamp .. ' ' .. queue .. between, {}, {}
  for k = 1, n do
    ids[k], stored[2 * k - 1], stored[2 * k] = ARGV[i], ARGV[i], head .. ARGV[i + 1]
    i = i + 2
  end
  each_hash(ids, 1, n, function(hash, from, to) call('HSET', hash, unpack(stored, 2 * from - 1, 2 * to)) end)
  local waiting = append(queue, ids)
  if waiting <= n then activate(queue) end
  wake(queue, waiting)
end

-- Take the unique keys of n jobs. Returns false, and changes nothing, if another job has one of
-- them, even if that key is void.
local function take_keys(n, i)
  local unique, keys = P .. 'unique:', {}
  for k = 1, n do
    keys[2 * k - 1], keys[2 * k] = unique .. string.match(ARGV[i + 1], ' ([^\n]*)'), ARGV[i]
    i = i + 2
  end
  return call('MSETNX', unpack(keys)) == 1
end

-- Call `store`, which stores the jobs from this position on, and return its result. A script that
-- fails is not rolled back, so if jobs are stored already, the error says how many. Without that,
-- who asked for others of them would have those run twice.
local failure
local function try_to_store(position, store, ...)
  local is_stored, result = pcall(store, ...)
  if is_stored then return result end
  local reason = type(result) == 'table' and result.err or tostring(result)
  failure = redis.error_reply((position > 0 and 'STORED ' .. position .. ' ' or '') .. reason)
end

-- The next group, and the position of its first job among all jobs.
local at, place = 1, 0
while at < #ARGV do
  local queue, n, first, between = ARGV[at], tonumber(ARGV[at + 1]), at + 2, '\n'
  if not n then break end
  if n < 0 then
    n, between = -n, ''
    if not take_keys(n, first) then break end
  end
  try_to_store(place, store_now, queue, between, n, first)
  if failure then return failure end
  at, place = first + 2 * n, place + n
end
if at > #ARGV then return {} end
