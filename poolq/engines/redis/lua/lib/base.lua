-- Part `base`, first in every script: the names of keys, and the time.
--
-- KEYS[1] is the prefix of all keys, "{namespace}:". Its hash tag puts all keys of a namespace into
-- one slot of a cluster. There is no key with the name of the prefix itself. Therefore the server
-- rejects a script (ASK) while the slot is being moved to another node and some keys are missing.
--
--   version           STRING the version of all these keys, see engines/schema_version.py
--   bodies:<moment>   HASH  id -> "<due> <queue>\n<body>", with the due time of the push; see below. Of
--                           a job with an effect: "<due> <queue>\t<effect>\n<body>", see part `effects`
--   states            HASH  id -> "<due> <attempt> <crashes> <failing>\n<history>", if this differs
--                           from a fresh job's; due 0 stands for the due time beside the body. If
--                           the job expires, "<failing> <when>\n"; for a failed job, <when> is how
--                           long after a retry it expires
--   unique:<key>      STRING the id of the job that has a unique key. If the key ends by time:
--                           "<ends> <id>", and the string expires then
--   known             ZSET  queue that has held a job -> when this was last noticed
--   idle              ZSET  queue that has held a job -> when it was noticed to hold none
--   active            ZSET  queues that may have claimable jobs, score 0 (so sorted by name)
--   later             ZSET  queue -> when it next has a claimable job, or an earlier time
--   failures          SET   queues with failed jobs
--   paused            SET   paused queues
--   back:<queue>      ZSET  id -> due; ready again after its claim ended, or moved here
--   granted           HASH  id in `back` -> "<from>:<to>", the span in which its slots count
--   ready:<queue>     LIST  ids, the next one first
--   gone:<queue>      HASH  id in the list whose job has left it -> due, see part `ready_list`
--   delayed:<queue>   ZSET  id -> due; once due it counts as ready, after the jobs in the list
--   lines:<queue>     ZSET  identity ("<window>:<key>"; "-<window>:<key>" if the window slides) ->
--                           when its line's next slot may be free. Once a keeper knows that this
--                           time has come, 2^53 is subtracted. 2^53 - 1 if a gate has no room. Also
--                           "released" -> when the first released job is due again
--   lined             SET   queues with a key lines:<queue>
--   keys:<queue>      ZSET  "<key>\n<identity>" of each line, score 0 (so sorted by key)
--   line:<n>:<queue>:<identity>  ZSET  parked id -> due; n is the length of the queue's name
--   limits:<queue>    HASH  identity -> the limit that was last named for its line
--   codes:<queue>     ZSET  identity -> the deploy whose code has named the limit of its line
--   parkrules:<queue> HASH  parked id -> its rules, see part `parked_jobs`
--   held:<queue>      ZSET  released id -> until when
--   heldby:<queue>    HASH  released id -> "<due> <limit> <identity>"
--   released:<queue>  HASH  "<limit> <identity>" -> how many jobs are held
--   repairs           HASH  queue with times from before the clock went back -> "lines" or "held" and
--                           the cursor at which its lines or released jobs are scanned next
--   latest            STRING  the latest time at which a line was scheduled, to within a second
--   failed            ZSET  id of a failed job -> when it failed
--   failed:<queue>    ZSET  the same of one queue
--   win:<identity>    STRING "<start> <used> <limit> <starts in all>", a window; expires after it
--   starts:<identity> ZSET  "<count> <cost>" -> time: the starts in a sliding window, see part
--                           `limit_windows`; expires after the window
--   override:<identity> STRING the limit that a person has set, for both kinds of windows; the
--                           identity has no "-"
--   overrides         SET   identities with such a limit
--   windows           ZSET  identity -> when its window ends
--   gate:<key>        HASH  id -> "<request> <index> <worker>", the claim that has a slot of the gate
--   gated             HASH  id with slots -> the keys of its gates, in lines
--   gates             HASH  key of a gate -> "<limit> <slots taken so far> <deploy whose code has named the
--                           limit> <when it was last used>"
--   gatequeues:<key>  SET   queues with jobs that wait for the gate
--   holds             HASH  key of limits that is held -> "<since> <until>"; expires after the last one
--   swept             HASH  key of a hash that the sweep has scanned in part -> its cursor
--   counters          HASH  "<counter> <queue>" -> how often
--   deploys           STRING the number of the last deploy
--   workers           HASH  worker -> node
--   worker:<worker>   HASH  "#request", the last one; "#stale", its stale ids; "#cursor", the
--                           last queue served, if it serves all; "#node"; "#who", the registration
--                           as JSON; "#deploy", the deploy of its code; and a field for each claim:
--                           id -> "<request> <index> <how> <claimed at> <queue>"; <how> is 0,
--                           "<from>:<to>" (the job has slots, which count in that span), "g" (it
--                           was parked and has slots of gates), "r" (it must ask for a start), "s"
--                           (windows have counted its start) or "c<time>/<how>" (the job is
--                           cancelled, and its worker is to be killed at that time)
--   cancels           HASH  id of a job that was cancelled while it was running -> worker; void
--                           unless the worker has a claim "c<time>/<how>" of this job
--   nodes             HASH  node -> heartbeats
--   nodeinfo          HASH  node -> its own JSON
--   node:<node>       SET   its registered workers
--   schedules         HASH  name -> "<hash> <deploy> <declared> <paused> <due> <last> <ticks>
--                           <skipped> <job>" and in further lines the spec; see engines/schedule_store.py
--   ticks             ZSET  name of a schedule -> when a keeper looks at it
--   hidden            HASH  name of a person's schedule -> "<hash>\n<spec>" of the code's schedule
--   declared:<node>   HASH  name of a schedule in the node's code -> the deploy of that code; "" ->
--                           the last deploy that has declared schedules
--   wake              LIST  at most one token: how many jobs of a queue were ready, 0: poll again
--   wake:<queue>      LIST  the same for keepers that wait on this queue by name
--   named             ZSET  queue that a keeper waits on by name -> when this note expires
--   named:<queue>     STRING "1", which expires at the same time
--
-- Times are microseconds since the epoch. They are below 2^53, so a Lua number holds them exactly.
-- Only `digits` may turn them into text, because `..` would round them.

local call, P = redis.call, KEYS[1]
local STATES, GRANTED = P .. 'states', P .. 'granted'
local ACTIVE, LATER = P .. 'active', P .. 'later'
local clock = call('TIME')
local now = clock[1] * 1000000 + clock[2]

local function digits(number)
  return string.format('%.0f', number)
end

local stamp = digits(now)
-- poolq stores no time over 100 years ahead. A hold or unique key that ends later counts as over.
local FURTHEST = now + 3155760000000000

-- An id begins with the time at which it was made. The bodies of jobs made within the same quarter
-- of a second (10 hex digits) share a hash. In a single hash of a million jobs, each look-up would
-- miss the processor's caches twice.
local function bodies_of(id)
  return P .. 'bodies:' .. string.sub(id, 1, 10)
end

-- Split ids[from .. last] into parts whose bodies are in one hash. Call `visit` for each part with
-- the hash, and with the positions at which the part begins and ends.
local function each_hash(ids, from, last, visit)
  while from <= last do
    local moment, to = string.sub(ids[from], 1, 10), from
    while to < last and string.sub(ids[to + 1], 1, 10) == moment do to = to + 1 end
    visit(bodies_of(moment), from, to)
    from = to + 1
  end
end

local function delete_bodies(ids, from, last)
  local guess = bodies_of(ids[from])  -- usually has all bodies, as the count then shows
  if guess == bodies_of(ids[last])
    and call('HDEL', guess, unpack(ids, from, last)) == last - from + 1 then return end
  each_hash(ids, from, last, function(hash, i, k) call('HDEL', hash, unpack(ids, i, k)) end)
end
