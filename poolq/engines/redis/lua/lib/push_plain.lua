-- Part `push_plain`, only in `push` (needs `storing`): store jobs that ask for nothing, or for unique
-- keys that nobody has. If there are no others, the script ends here, because creating the functions of
-- the following parts would take longer than this.

-- Take the unique keys of n jobs for them. Returns false, and changes nothing, if somebody has a key,
-- which may be void, or if two of the jobs have the same.
local function take_keys(n, i)
  local keys, seen = {}, {}
  for k = 1, n do
    local name = P .. 'unique:' .. string.match(ARGV[i + 1], ' ([^\n]*)')
    if seen[name] then return false end
    seen[name] = true
    keys[2 * k - 1], keys[2 * k] = name, ARGV[i]
    i = i + 2
  end
  if call('MSETNX', unpack(keys)) == 0 then return false end
  count_ties(n)
  return true
end

-- The next group, and the position of its first job among all jobs.
local at, place = 1, 0
while at < #ARGV do
  local queue, n, first, size = ARGV[at], tonumber(ARGV[at + 1]), at + 2, 2
  if n and n > 0 then
    store_now(queue, '\n', n, first)
  elseif n then
    n = -n
    if not take_keys(n, first) then break end
    store_now(queue, '', n, first)
  else
    n, size = tonumber(string.match(ARGV[at + 1], '^d(%d+)$')), 5
    if not n then break end
    for i = first, first + 5 * n - 1, 5 do store_job(queue, unpack(ARGV, i, i + 3)) end
  end
  at, place = first + size * n, place + n
end
if at > #ARGV then return {} end
