-- Part `many_queues`, only in `step` (needs `fast_path`, `unpaused`): claim from more than a few
-- queues. Each step asks some of them, beginning after the last one of the previous step. Empty
-- queues are removed from `active`, so that they are not asked again.

local head_of_list, claim_each, claim_many, finish_many

do
  -- How many names are read at once, and how many empty queues one step visits.
  local NAMES_AT_ONCE, MAX_EMPTY = 32, 250

  -- Claim jobs that came back, in order. A job with slots of its limits keeps them while they count.
  claim_returned = function(queue, most)
    local back = P .. 'back:' .. queue
    local ids = call('ZRANGE', back, 0, most - 1)
    if #ids == 0 then return end
    local spans = call('HMGET', GRANTED, unpack(ids))
    local from, before = 1, index
    for k = 1, #ids do
      if index == want then break end
      local begins, ends = string.match(spans[k] or '', '^(%d+):(%d+)$')
      if ends and tonumber(begins) <= now and now < tonumber(ends) then
        if from < k then claim(queue, '0', {unpack(ids, from, k - 1)}) end
        if index == want then break end
        claim(queue, spans[k], {ids[k]})
        from = k + 1
      end
    end
    if from <= #ids and index < want then claim(queue, '0', {unpack(ids, from)}) end
    call('ZREM', back, unpack(ids, 1, index - before))
    call('HDEL', GRANTED, unpack(ids, 1, index - before))
  end

  -- How many jobs that have left their lists one step skips, and how many entries it reads at least where
  -- there are some.
  local MAX_SKIPPED, READ_AT_LEAST = 5000, 100
  local skipped = 0

  local function drop_entries(queue, ids, n, taken)
    call('LTRIM', P .. 'ready:' .. queue, n, -1)
    call('HDEL', P .. 'gone:' .. queue, unpack(ids, 1, n))
    skipped = skipped + n - taken
  end

  -- Claim the first jobs of a list, `ids`. Returns false if this step has skipped too many gone ones.
  claim_listed = function(queue, ids)
    local ready, gone, most = P .. 'ready:' .. queue, P .. 'gone:' .. queue, #ids
    if call('EXISTS', gone) == 0 then
      call('LTRIM', ready, claim(queue, '0', ids), -1)
      return true
    end
    ids = call('LRANGE', ready, 0, math.max(most, READ_AT_LEAST) - 1)
    local there, places, taken = {}, {}, 0
    for k, left in ipairs(call('HMGET', gone, unpack(ids))) do
      if not left and #there < most then there[#there + 1], places[#there + 1] = ids[k], k end
    end
    if #there > 0 then taken = claim(queue, '0', there) end
    local last = places[taken]
    if taken == #there and taken < most then last = #ids end
    drop_entries(queue, ids, last, taken)
    return skipped < MAX_SKIPPED
  end

  -- The first job of a list; nil if there is none, or only behind too many that have left it.
  function head_of_list(queue)
    local ready, gone = P .. 'ready:' .. queue, P .. 'gone:' .. queue
    if call('EXISTS', gone) == 0 then return call('LINDEX', ready, 0) end
    while skipped < MAX_SKIPPED do
      local ids = call('LRANGE', ready, 0, READ_AT_LEAST - 1)
      if #ids == 0 then return nil end
      local n = 0
      for _, left in ipairs(call('HMGET', gone, unpack(ids))) do
        if not left then break end
        n = n + 1
      end
      if n > 0 then drop_entries(queue, ids, n, 0) end
      if n < #ids then return ids[n + 1] end
    end
  end

  local cursor = many and call('HGET', worker, '#cursor') or nil

  local function names_after(name)
    local from = name and '(' .. name or '-'
    local found = call('ZRANGE', ACTIVE, from, '+', 'BYLEX', 'LIMIT', 0, NAMES_AT_ONCE)
    return name and #found == 0 and names_after() or found
  end

  -- How many queues were asked, and which of them are now empty.
  local asked, empty = 0, {}

  -- `first` claims the jobs that come before all others of a queue, and returns whether the queue has
  -- more such jobs, and whether the others must be left to the next step, for which it leaves a token.
  function claim_each(names, first)
    for _, queue in ipairs(names) do
      if index == want then return end
      local more, stops = false, false
      if first then more, stops = first(queue) end
      stops = stops or claim_from(queue)
      if stops then wake(queue, 1) end
      more = more or stops
      asked, cursor = asked + 1, queue
      if stops and not all_queues then return end  -- its jobs come before those of later queues
      if index < want and not more then empty[#empty + 1] = queue end
    end
  end

  -- Claim from the queues in turn. If `first` is nil, stop and return false once a queue needs it.
  function claim_many(first)
    local most = math.min(call('ZCARD', ACTIVE), want + MAX_EMPTY)
    while index < want and asked < most do
      local open, shut = names_after(cursor), {}
      if #open == 0 then break end
      local last_one = open[#open]
      simple = check_simple(open)
      if not simple then
        if not first then return false end
        open, shut = split_paused(open)
      end
      claim_each(open, first)
      for _, queue in ipairs(shut) do empty[#empty + 1] = queue end  -- paused ones
      asked = asked + #shut
      if index < want then cursor = last_one end
    end
    return true
  end

  function finish_many(good, problem)
    fields[#fields + 1] = '#cursor'
    fields[#fields + 1] = cursor or ''
    call('HSET', worker, unpack(fields))
    fields = {'#request', ARGV[2]}
    if good then
      for from = 1, #empty, 1000 do
        call('ZREM', ACTIVE, unpack(empty, from, math.min(from + 999, #empty)))
      end
      local full = index == want or asked >= want + MAX_EMPTY
      if full and call('EXISTS', ACTIVE) == 1 and call('EXISTS', WAKE) == 0 then
        call('RPUSH', WAKE, 1)
      end
    end
    return finish_step({}, good, problem)
  end
end

-- If the jobs are plain, the script ends here, as in part `fast_path`. Without this, plain jobs of 20
-- queues cost a seventh more CPU of client and server in all, claimed one by one, and half as much again
-- in full steps.
if many and ARGV[at] == '0' and request > last then
  local good, done = pcall(claim_many)
  if not good or done then return finish_many(good, done) end
end
