#!lua flags=allow-oom
-- Mark the claims of running jobs as cancelled.
--
-- ARGV: after how many microseconds the workers are to be killed, ids (few: each worker is asked for
--       all of them).
-- Reply: the ids of the jobs that are running.

local ids, found = {unpack(ARGV, 2)}, {}
for _, name in ipairs(call('HKEYS', P .. 'workers')) do
  local worker = P .. 'worker:' .. name
  for k, claim in ipairs(call('HMGET', worker, unpack(ids))) do
    local claimed, how, rest = string.match(claim or '', '^(%d+ %d+) ([^ ]+) (%d+ .*)$')
    if claimed then
      local due, before, plain = now + tonumber(ARGV[1]), string.match(how, '^c(%d+)/(.*)$')
      if before then due = math.min(due, tonumber(before)) end
      claim = claimed .. ' c' .. digits(due) .. '/' .. (plain or how) .. ' ' .. rest
      call('HSET', worker, ids[k], claim)
      call('HSET', P .. 'cancels', ids[k], name)
      found[#found + 1] = ids[k]
    end
  end
end
return found
