-- Part `base`, first in every script: the names of keys, and the time.
--
-- KEYS[1] is "{namespace}:", a name that no key has. It carries the hash tag that puts all keys of
-- a namespace in one slot of a cluster. Because it does not exist, a script is refused (ASK) while
-- its slot is being moved to another node: it could see only half of the keys there.
--
--   bodies            HASH  id -> "<due> <queue>\n<body>"; due as it was when pushed
--   states            HASH  id -> "<due> <attempt> <crashes> <failing>\n<history>"; only where it
--                           differs from a fresh job's; due 0: the one in `bodies` stands
--   queues            ZSET  every queue that ever held a job, score 0 (so they come sorted)
--   paused            SET   queues that give nothing
--   back:<queue>      ZSET  id -> due; ready again after its claim ended, before all others
--   ready:<queue>     LIST  ids, the next one first
--   delayed:<queue>   ZSET  id -> due; a due one counts as ready and comes after the list's
--   parked:<queue>    ZSET  identity ("<window>:<key>") -> when its next slot may be free; 0: it
--                           may be, and a keeper has been told
--   park:<n>:<queue>:<identity>  LIST  parked ids in order; n is the length of the queue's name
--   parkrules:<queue> HASH  parked id -> its rules, see part `parking`
--   failed:<queue>    ZSET  id -> when it failed
--   win:<identity>    STRING "<start> <used> <limit>", an open window; it expires with the window
--   windows           ZSET  identity -> when its window ends
--   counters          HASH  "<counter> <queue>" -> how often
--   workers           HASH  worker -> node
--   worker:<worker>   HASH  "#request", the last one; "#stale", its stale ids; "#turn", of the
--                           wheel of queues; "#node"; "#who", the registration as JSON; and
--                           a field for each claim:
--                           id -> "<request> <index> <admitted> <claimed at> <queue>"
--   nodes             HASH  node -> beats
--   nodeinfo          HASH  node -> its own JSON
--   node:<node>       SET   its registered workers
--   wake:<queue>      LIST  at most one token: how many jobs were ready, or 0: look again
--   wake              LIST  at most one token, 0: there is a new queue
--
-- Times are microseconds since the epoch. They are below 2^53, so a Lua number holds them exactly;
-- `..` would round them, hence `digits`.

local call, P = redis.call, KEYS[1]
local BODIES, STATES = P .. 'bodies', P .. 'states'
local clock = call('TIME')
local now = clock[1] * 1000000 + clock[2]

local function digits(number)
  return string.format('%.0f', number)
end

local stamp = digits(now)
