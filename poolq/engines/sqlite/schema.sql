-- poolq on SQLite 3.35+, version 1. Times are microseconds since the epoch, UTC.
-- {ns} is the namespace.

-- Jobs that wait or run. `place`: '' in the queue (delayed until `due`), 'w:<worker>' claimed,
-- 'p:<microseconds>:<key>' parked in a rate limit's line. (worker, request, idx) identify a claim.
-- `admitted`: the claim includes a slot of the job's limit. `taken`: when the job was claimed.
CREATE TABLE IF NOT EXISTS {ns}_jobs (
    id TEXT NOT NULL,
    place TEXT NOT NULL DEFAULT '',
    queue TEXT NOT NULL,
    due INTEGER NOT NULL,
    request INTEGER NOT NULL DEFAULT 0,
    idx INTEGER NOT NULL DEFAULT 0,
    admitted INTEGER NOT NULL DEFAULT 0,
    taken INTEGER NOT NULL DEFAULT 0,
    attempt INTEGER NOT NULL DEFAULT 0,
    crashes INTEGER NOT NULL DEFAULT 0,
    failing INTEGER NOT NULL DEFAULT 0,
    history BLOB NOT NULL DEFAULT x'',
    rules BLOB,
    body BLOB NOT NULL,
    PRIMARY KEY (id)
);
CREATE INDEX IF NOT EXISTS {ns}_jobs_turn ON {ns}_jobs (place, queue, due, id);

-- Failed jobs, with their history.
CREATE TABLE IF NOT EXISTS {ns}_failed (
    id TEXT NOT NULL,
    queue TEXT NOT NULL,
    at INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    crashes INTEGER NOT NULL,
    failing INTEGER NOT NULL,
    history BLOB NOT NULL DEFAULT x'',
    body BLOB NOT NULL,
    PRIMARY KEY (id)
);
CREATE INDEX IF NOT EXISTS {ns}_failed_newest ON {ns}_failed (at, id);
CREATE INDEX IF NOT EXISTS {ns}_failed_newest_of_queue ON {ns}_failed (queue, at, id);

-- Queues that jobs were pushed to. `armed` and `seen` are the wake-up token.
CREATE TABLE IF NOT EXISTS {ns}_queues (
    queue TEXT NOT NULL,
    paused INTEGER NOT NULL DEFAULT 0,
    armed INTEGER NOT NULL DEFAULT 1,
    seen INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (queue)
) WITHOUT ROWID;

-- Registered workers, with the number of the last request and the `stale` ids of the answer to it.
-- The claims in this answer are the jobs with the same `request`. `due` is no longer used.
CREATE TABLE IF NOT EXISTS {ns}_workers (
    worker TEXT NOT NULL,
    node TEXT NOT NULL,
    host TEXT NOT NULL,
    pool TEXT NOT NULL,
    boot TEXT NOT NULL,
    pidns TEXT NOT NULL,
    pid INTEGER NOT NULL,
    started INTEGER NOT NULL,
    request INTEGER NOT NULL DEFAULT -1,
    stale TEXT NOT NULL DEFAULT '',
    due INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (worker)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS {ns}_workers_node ON {ns}_workers (node, worker);

-- Running pools. `beat` counts their heartbeats.
CREATE TABLE IF NOT EXISTS {ns}_nodes (
    node TEXT NOT NULL,
    beat INTEGER NOT NULL,
    info BLOB NOT NULL,
    PRIMARY KEY (node)
) WITHOUT ROWID;

-- Windows of rate limits, `span` microseconds long. `used`: how many of `most` starts were made.
CREATE TABLE IF NOT EXISTS {ns}_windows (
    name TEXT NOT NULL,
    span INTEGER NOT NULL,
    most INTEGER NOT NULL,
    start INTEGER NOT NULL,
    used INTEGER NOT NULL,
    ends INTEGER NOT NULL,
    PRIMARY KEY (name, span)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS {ns}_windows_ends ON {ns}_windows (ends);

-- Lines of parked jobs, one for each limit and queue. `slot`: when to try the first job again.
CREATE TABLE IF NOT EXISTS {ns}_lines (
    place TEXT NOT NULL,
    queue TEXT NOT NULL,
    slot INTEGER NOT NULL,
    name TEXT NOT NULL,
    span INTEGER NOT NULL,
    most INTEGER NOT NULL,
    PRIMARY KEY (place, queue)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS {ns}_lines_slot ON {ns}_lines (queue, slot);

-- How often each event has happened, by worker ('' for recovered workers) and queue.
CREATE TABLE IF NOT EXISTS {ns}_counters (
    worker TEXT NOT NULL,
    queue TEXT NOT NULL,
    done INTEGER NOT NULL,
    failed INTEGER NOT NULL,
    retried INTEGER NOT NULL,
    limited INTEGER NOT NULL,
    parked INTEGER NOT NULL,
    crashed INTEGER NOT NULL,
    PRIMARY KEY (worker, queue)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS {ns}_schema (
    one INTEGER NOT NULL DEFAULT 1,
    version INTEGER NOT NULL,
    PRIMARY KEY (one)
) WITHOUT ROWID;
