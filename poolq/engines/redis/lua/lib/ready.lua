-- Part `ready`: jobs that may be claimed, and the tokens that wake a waiting keeper.

-- How many due jobs one script moves from the delayed ones to the list.
local MOVED = 1000

-- A token that nobody takes goes after a minute: whoever waits looks before it blocks.
local TOKEN_TTL = 60

local function wake(queue, hint)
  local one, all = P .. 'wake:' .. queue, P .. 'wake'
  if call('EXISTS', one, all) == 2 then return end
  for _, list in ipairs({one, all}) do
    if call('EXISTS', list) == 0 then
      call('RPUSH', list, hint)
      call('EXPIRE', list, TOKEN_TTL)
    end
  end
end

-- Put ids (at most 1000) that are due now behind all others of their queue, also behind the
-- delayed ones that have become due; returns how many are in the list.
local function append(queue, ids)
  local ready, delayed = P .. 'ready:' .. queue, P .. 'delayed:' .. queue
  local due = call('ZRANGE', delayed, '-inf', stamp, 'BYSCORE', 'LIMIT', 0, MOVED)
  if #due > 0 then
    call('RPUSH', ready, unpack(due))
    call('ZREM', delayed, unpack(due))
  end
  if #due < MOVED then
    return call('RPUSH', ready, unpack(ids))
  end
  -- More may be due: they keep their place before these.
  local scored = {}
  for i, id in ipairs(ids) do
    scored[2 * i - 1], scored[2 * i] = stamp, id
  end
  call('ZADD', delayed, unpack(scored))
  return call('LLEN', ready)
end

-- Store when a job is due; a keeper must look again if it is the next one.
local function delay(queue, id, due)
  local delayed = P .. 'delayed:' .. queue
  call('ZADD', delayed, digits(due), id)
  if call('ZRANGE', delayed, 0, 0)[1] == id then wake(queue, 0) end
end
