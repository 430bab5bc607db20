-- Part `push_later`, only in `push` (needs `push_plain`, `storing`): store jobs that ask for nothing, but
-- are due later, or expire. If there are no others, the script ends here, as in part `push_plain`: without
-- this, a delayed job costs a third more CPU of client and server until it is settled.

while at < #ARGV do
  local queue, n, first = ARGV[at], tonumber(string.match(ARGV[at + 1], '^d(%d+)$')), at + 2
  if not n then break end
  for i = first, first + 5 * n - 1, 5 do store_job(queue, unpack(ARGV, i, i + 3)) end
  at, place = first + 5 * n, place + n
end
if at > #ARGV then return {} end
