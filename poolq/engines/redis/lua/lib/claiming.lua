-- Part `claiming`, only in `step` (needs `fast_path`, `list_order`): claim jobs that were returned,
-- and skip gone jobs. A gone job was taken out of its queue's list (it was deleted or moved, for
-- example), but only by a note in gone:<queue>. Its id is still in the list.

-- MAX_SKIPPED: one step stops when it has skipped this many gone jobs. READ_AT_LEAST: how many
-- entries it reads at least from a list that contains gone jobs.
local MAX_SKIPPED, READ_AT_LEAST = 5000, 100
local skipped = 0

local function drop_entries(queue, ids, n, taken)
  call('LTRIM', P .. 'ready:' .. queue, n, -1)
  call('HDEL', P .. 'gone:' .. queue, unpack(ids, 1, n))
  skipped = skipped + n - taken
end

-- Claim up to #ids jobs from the head of a queue's list. `ids`: the first entries of the list, some
-- of which may be gone. Returns false if this step has skipped too many gone jobs.
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

-- The first job of a list; nil if there is none, or if too many gone jobs come before it.
local function head_of_list(queue)
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

-- Claim the returned jobs that come before the first job of the list. Returned jobs keep those
-- slots of limits that still count. If none is claimed, returns how many jobs (up to `most`) of the
-- list come before all returned jobs.
claim_returned = function(queue, most)
  local back = P .. 'back:' .. queue
  local found, ids = call('ZRANGE', back, 0, most - 1, 'WITHSCORES'), {}
  if #found == 0 then return most end
  local head = head_of_list(queue)
  local first = head and (due_in_list(queue, head) or 0)
  for k = 1, #found, 2 do
    local due = tonumber(found[k + 1])
    if head and (first < due or first == due and head < found[k]) then break end
    ids[#ids + 1] = found[k]
  end
  if #ids == 0 then return math.max(1, count_before(queue, tonumber(found[2]), found[1], most)) end
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
  return most
end
