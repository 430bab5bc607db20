-- Part `push_later`, only in `push` (needs `push_plain`, `storing`): store jobs that ask for nothing, but
-- are due later, or expire. If there are no others, the script ends here, as in part `push_plain`: without
-- this, a delayed job costs a third more CPU of client and server until it is settled.

while at < #ARGV do
  local queue, n, first = ARGV[at], tonumber(string.match(ARGV[at + 1], '^d(%d+)$')), at + 2
  if not n then break end
  for k = 0, n - 1 do
    try_to_store(place + k, store_job, queue, unpack(ARGV, first + 5 * k, first + 5 * k + 3))
    if failure then return failure end
  end
  at, place = first + 5 * n, place + n
end
if at > #ARGV then return {} end
