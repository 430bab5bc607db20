-- Part `clock_jumps` (needs `parked_jobs`): repair times that were written before the clock went
-- back. Each script that checks the clock repairs some of them. `repairs` has the remaining queues,
-- and where the scan of their lines and released jobs continues.

local check_clock

do
  -- One script stops when it has repaired this many entries.
  local MAX_REPAIRED = 100

  -- Recompute the time of a line.
  local function repair_line(queue, identity, moment)
    local lines = P .. 'lines:' .. queue
    if identity ~= RELEASED and tonumber(moment) > now then
      call('ZADD', lines, digits(next_slot(identity, limit_of(queue, identity) or 1)), identity)
    end
  end

  -- End the wait of a released job if it is longer than a window. `by`: its field in heldby:<queue>.
  local function repair_release(queue, id, by)
    local held = P .. 'held:' .. queue
    local moment = tonumber(call('ZSCORE', held, id) or nil)
    local length = tonumber(string.match(by, '^%d+ %d+ %-?(%d+):') or 0)
    -- Jitter may delay a release by up to another window. From 0 on, it is over at any time of a clock.
    if moment and moment > now + 2 * length then call('ZADD', held, 0, id) end
  end

  -- Scan a part of a key. Returns the cursor for the next part, and how many entries this one has.
  local function repair_part(queue, scan, key, cursor, repair)
    local found
    cursor, found = unpack(call(scan, P .. key .. queue, cursor, 'COUNT', 100))
    for i = 1, #found, 2 do repair(queue, found[i], found[i + 1]) end
    return cursor, #found / 2
  end

  local function repair_some()
    local repaired = 0
    while repaired < MAX_REPAIRED do
      local queue, place = unpack(call('HRANDFIELD', P .. 'repairs', 1, 'WITHVALUES'))
      if not queue then return end
      local kind, cursor = string.match(place, '^(%l+) (%d+)$')
      local n
      if kind == 'lines' then
        cursor, n = repair_part(queue, 'ZSCAN', 'lines:', cursor, repair_line)
        if cursor == '0' then kind = 'held' end
      else
        cursor, n = repair_part(queue, 'HSCAN', 'heldby:', cursor or '0', repair_release)
        if cursor == '0' then kind = nil end
      end
      repaired = repaired + n + 1
      if kind then
        call('HSET', P .. 'repairs', queue, kind .. ' ' .. cursor)
      else
        call('HDEL', P .. 'repairs', queue)
        if call('EXISTS', P .. 'held:' .. queue) == 1 then update_release(queue) end
      end
      activate(queue)
      wake(queue, 0)
    end
  end

  -- Detect a clock that has gone back.
  function check_clock()
    local seen = tonumber(call('GET', P .. 'latest') or nil)
    if not seen then return end
    if now < seen then
      call('SET', P .. 'latest', stamp)
      for _, queue in ipairs(call('SMEMBERS', P .. 'lined')) do
        call('HSET', P .. 'repairs', queue, 'lines 0')
      end
    end
    if call('EXISTS', P .. 'repairs') == 1 then repair_some() end
  end
end
