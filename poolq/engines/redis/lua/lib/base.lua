-- Part `base`, first in every script: the names of keys, and the time.
--
-- KEYS[1] is "{namespace}:", a name that no key has. It carries the hash tag that puts all keys of
-- a namespace in one slot of a cluster. Because it does not exist, a script is refused (ASK) while
-- its slot is being moved to another node: it could see only half of the keys there.
--
--   bodies:<moment>   HASH  id -> "<due> <queue>\n<body>"; due as it was when pushed; see below
--   states            HASH  id -> "<due> <attempt> <crashes> <failing>\n<history>"; only where it
--                           differs from a fresh job's; due 0: the one in its body stands
--   queues            ZSET  queue that has held a job -> when it began to, or was seen to
--   idle              ZSET  queue that has held one -> since when it holds none; forgotten in the end
--   active            ZSET  queues that may give something now, score 0 (so they come sorted)
--   later             ZSET  queue -> when it gives something, or earlier
--   failures          ZSET  queues with failed jobs, score 0
--   paused            SET   queues that give nothing
--   back:<queue>      ZSET  id -> due; ready again after its claim ended, before all others
--   granted           HASH  id in `back` -> "<from>:<to>", when its slots still count
--   ready:<queue>     LIST  ids, the next one first
--   delayed:<queue>   ZSET  id -> due; a due one counts as ready and comes after the list's
--   lines:<queue>     ZSET  identity ("<window>:<key>") -> when its line's next slot may be free; 0: it
--                           may be, and a keeper has been told. And "released" -> when the first
--                           released job is due again
--   lined             SET   queues that have that
--   line:<n>:<queue>:<identity>  ZSET  parked id -> due; n is the length of the queue's name
--   limits:<queue>    HASH  identity -> the limit named last for its line
--   marked:<queue>    ZSET  identity -> since when a worker must be there to be asked for its limits
--   parkrules:<queue> HASH  parked id -> its rules, see part `lines`
--   held:<queue>      ZSET  released id -> until when
--   heldby:<queue>    HASH  released id -> "<due> <limit> <identity>"
--   released:<queue>  HASH  "<limit> <identity>" -> how many are held
--   latest            STRING  the latest time at which a line's moment was noted, within a second
--   failed:<queue>    ZSET  id -> when it failed
--   win:<identity>    STRING "<start> <used> <limit> <starts in all>", a window; it expires after it
--   windows           ZSET  identity -> when its window ends
--   counters          HASH  "<counter> <queue>" -> how often
--   workers           HASH  worker -> node
--   worker:<worker>   HASH  "#request", the last one; "#stale", its stale ids; "#turn", of the
--                           wheel of queues, or where there are many, "#cursor", the last one that
--                           was asked; "#node"; "#who", the registration as JSON; "#since",
--                           when that was; and a field for each claim:
--                           id -> "<request> <index> <how> <claimed at> <queue>"; <how> is 0,
--                           "<from>:<to>" (its slots are taken, and count in that span) or
--                           "r" (to be reviewed)
--   nodes             HASH  node -> beats
--   nodeinfo          HASH  node -> its own JSON
--   node:<node>       SET   its registered workers
--   wake              LIST  at most one token: how many jobs of a queue were ready, or 0: look again
--   wake:<queue>      LIST  the same for those who wait on this queue by name
--   named             ZSET  queue that somebody waits on by name -> until when that is known
--   named:<queue>     STRING "1", for so long
--
-- Times are microseconds since the epoch. They are below 2^53, so a Lua number holds them exactly;
-- `..` would round them, hence `digits`.

local call, P = redis.call, KEYS[1]
local STATES, GRANTED = P .. 'states', P .. 'granted'
local ACTIVE, LATER = P .. 'active', P .. 'later'
local clock = call('TIME')
local now = clock[1] * 1000000 + clock[2]

local function digits(number)
  return string.format('%.0f', number)
end

local stamp = digits(now)

-- An id begins with the time of its making. The bodies of jobs that were made within a quarter of a
-- second (10 hex digits) share a hash: of one with a million of them each look-up would find its
-- place, and the body, in memory that the processor has not seen for long.
local function bodies_of(id)
  return P .. 'bodies:' .. string.sub(id, 1, 10)
end

-- Up to which of ids[from .. last] the bodies are in the hash of the first one's.
local function stretch(ids, from, last)
  local moment = string.sub(ids[from], 1, 10)
  while from < last and string.sub(ids[from + 1], 1, 10) == moment do from = from + 1 end
  return from
end

local function drop_bodies(ids, from, last)
  local guess = bodies_of(ids[from])  -- mostly all are there, and the count of the dropped says so
  if guess == bodies_of(ids[last])
    and call('HDEL', guess, unpack(ids, from, last)) == last - from + 1 then return end
  while from <= last do
    local to = stretch(ids, from, last)
    call('HDEL', bodies_of(ids[from]), unpack(ids, from, to))
    from = to + 1
  end
end
