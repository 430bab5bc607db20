#!lua flags=allow-oom
-- Mark the claims of running jobs as cancelled.
--
-- ARGV: after how many microseconds the workers are to be killed, ids.
-- Reply: the ids of the jobs that are running.

local found, workers = {}, call('HKEYS', P .. 'workers')
for i = 2, #ARGV do
  for _, worker in ipairs(workers) do
    local claim = call('HGET', P .. 'worker:' .. worker, ARGV[i])
    local name, how, rest = string.match(claim or '', '^(%d+ %d+) ([^ ]+) (%d+ .*)$')
    if name then
      local due, before, plain = now + tonumber(ARGV[1]), string.match(how, '^c(%d+)/(.*)$')
      if before then due = math.min(due, tonumber(before)) end
      claim = name .. ' c' .. digits(due) .. '/' .. (plain or how) .. ' ' .. rest
      call('HSET', P .. 'worker:' .. worker, ARGV[i], claim)
      call('HSET', P .. 'cancels', ARGV[i], worker)
      found[#found + 1] = ARGV[i]
      break
    end
  end
end
return found
