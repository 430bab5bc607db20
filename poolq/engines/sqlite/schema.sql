-- poolq on SQLite 3.35+, version 4. Times are microseconds since the epoch, UTC.
-- {ns} is the namespace.

-- Jobs that wait or run. `place`: '' ready, 'd' delayed until `due_at`, 'w:<worker>' claimed,
-- 'p:<microseconds>:<key>' parked in a rate limit's line, 'r:<microseconds>:<key>' released by that limit
-- until `due_at`, with the due time in `taken`. (worker, request, idx) identify a claim.
-- `admitted`: the claim includes a slot of the job's limit. `taken`: when the job was claimed.
-- `lasts`: until when a slot is reserved for the job. `deploy`: by which deploy's code its limits were
-- named when it parked. `expires_at`: when the job expires, if it does.
-- `ties`: the job's unique key as JSON, or NULL (see jobs/ties.py).
CREATE TABLE IF NOT EXISTS {ns}_jobs (
    id TEXT NOT NULL,
    place TEXT NOT NULL DEFAULT '',
    queue TEXT NOT NULL,
    due_at INTEGER NOT NULL,
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
    lasts INTEGER NOT NULL DEFAULT 0,
    deploy INTEGER NOT NULL DEFAULT 0,
    expires_at INTEGER,
    ties BLOB,
    PRIMARY KEY (id)
);
CREATE INDEX IF NOT EXISTS {ns}_jobs_turn ON {ns}_jobs (place, queue, due_at, id);

-- Failed jobs, with their history. `expires`: how long after a retry the job expires.
CREATE TABLE IF NOT EXISTS {ns}_failed (
    id TEXT NOT NULL,
    queue TEXT NOT NULL,
    at INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    crashes INTEGER NOT NULL,
    failing INTEGER NOT NULL,
    history BLOB NOT NULL DEFAULT x'',
    body BLOB NOT NULL,
    expires INTEGER,
    ties BLOB,
    PRIMARY KEY (id)
);
CREATE INDEX IF NOT EXISTS {ns}_failed_newest ON {ns}_failed (at, id);
CREATE INDEX IF NOT EXISTS {ns}_failed_newest_of_queue ON {ns}_failed (queue, at, id);

-- Queues that jobs were pushed to. `armed` and `seen` are the wake-up token. `used`: when the queue was
-- last found in use. `total`: the sum of its counters at that time.
CREATE TABLE IF NOT EXISTS {ns}_queues (
    queue TEXT NOT NULL,
    paused INTEGER NOT NULL DEFAULT 0,
    armed INTEGER NOT NULL DEFAULT 1,
    seen INTEGER NOT NULL DEFAULT 0,
    used INTEGER NOT NULL DEFAULT 0,
    total INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (queue)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS {ns}_queues_used ON {ns}_queues (used);
CREATE INDEX IF NOT EXISTS {ns}_queues_paused ON {ns}_queues (paused, queue);

-- Registered workers, with the number of the last request and the `stale` ids of the answer to it.
-- The claims in this answer are the jobs with the same `request`. `deploy`: of which deploy its code is.
-- `aside`: how often it settled outside its steps.
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
    deploy INTEGER NOT NULL DEFAULT 0,
    aside INTEGER NOT NULL DEFAULT 0,
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
-- `deploy`: of a gate, by which deploy's code `most` was named. `used` of a gate: see sql/gates.py.
-- `starts`: how many starts were counted in all windows. `log`: the starts in a sliding window, whose
-- `span` is negative, as JSON: [[time, as how many starts it counts], ...]. `plain`: 1 if there is
-- certainly neither a hold of the key nor a limit that a person has set.
CREATE TABLE IF NOT EXISTS {ns}_windows (
    name TEXT NOT NULL,
    span INTEGER NOT NULL,
    most INTEGER NOT NULL,
    deploy INTEGER NOT NULL DEFAULT 0,
    start INTEGER NOT NULL,
    used INTEGER NOT NULL,
    ends INTEGER NOT NULL,
    starts INTEGER NOT NULL DEFAULT 0,
    log BLOB,
    plain INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (name, span)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS {ns}_windows_ends ON {ns}_windows (ends);

-- Lines of parked jobs, one for each limit and queue. `slot`: when to try the first job again.
-- `since`: when `slot` was calculated. A time in the future shows that the clock has gone back.
-- `deploy`: by which deploy's code `most` was named. Lines of released jobs and of holds have a higher one.
CREATE TABLE IF NOT EXISTS {ns}_lines (
    place TEXT NOT NULL,
    queue TEXT NOT NULL,
    slot INTEGER NOT NULL,
    name TEXT NOT NULL,
    span INTEGER NOT NULL,
    most INTEGER NOT NULL,
    since INTEGER NOT NULL DEFAULT 0,
    deploy INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (place, queue)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS {ns}_lines_slot ON {ns}_lines (queue, slot);
CREATE INDEX IF NOT EXISTS {ns}_lines_since ON {ns}_lines (since, slot);
CREATE INDEX IF NOT EXISTS {ns}_lines_deploy ON {ns}_lines (queue, deploy, place);

-- How often each event has happened, by worker ('' for recovered workers) and queue.
-- `cancelled`: how many jobs were cancelled while they were running. `discarded`: how many jobs ended
-- with an error that does not matter. `snoozed`: how often jobs have postponed themselves.
-- `skipped`: how many jobs gave way to the one that has their unique key. `replaced`: how many waiting
-- jobs another one with their key has replaced. `expired`: how many jobs were deleted because they were
-- too late to be run.
CREATE TABLE IF NOT EXISTS {ns}_counters (
    worker TEXT NOT NULL,
    queue TEXT NOT NULL,
    done INTEGER NOT NULL,
    failed INTEGER NOT NULL,
    retried INTEGER NOT NULL,
    limited INTEGER NOT NULL,
    parked INTEGER NOT NULL,
    crashed INTEGER NOT NULL,
    cancelled INTEGER NOT NULL DEFAULT 0,
    discarded INTEGER NOT NULL DEFAULT 0,
    snoozed INTEGER NOT NULL DEFAULT 0,
    skipped INTEGER NOT NULL DEFAULT 0,
    replaced INTEGER NOT NULL DEFAULT 0,
    expired INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (worker, queue)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS {ns}_counters_queue ON {ns}_counters (queue, worker);

-- Limits that people have set in place of `most`, by key and window.
CREATE TABLE IF NOT EXISTS {ns}_overrides (
    name TEXT NOT NULL,
    span INTEGER NOT NULL,
    most INTEGER NOT NULL,
    PRIMARY KEY (name, span)
) WITHOUT ROWID;

-- Keys of limits that are held, so that no job starts under them: since when, and until when.
CREATE TABLE IF NOT EXISTS {ns}_holds (
    name TEXT NOT NULL,
    start INTEGER NOT NULL,
    ends INTEGER NOT NULL,
    PRIMARY KEY (name)
) WITHOUT ROWID;

-- Which job has a unique key, and when the key ends if it is held for a time (else 0).
CREATE TABLE IF NOT EXISTS {ns}_unique_keys (
    name TEXT NOT NULL,
    id TEXT NOT NULL,
    ends INTEGER NOT NULL,
    PRIMARY KEY (name)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS {ns}_unique_keys_ends ON {ns}_unique_keys (ends) WHERE ends > 0;

-- Schedules of periodic jobs. `due`: the next tick. `at`: when a keeper looks at it, far in the future
-- if it is paused or no living node declares it. `declared`: 1 if it comes from code. `job`: the job
-- of the tick `last`. `ticks` and `skipped` count ticks with and without a job.
-- `deploy`: of which the code is that has declared it. `hidden`: "<hash>\n<spec>" that it has
-- declared, while a person has added a schedule of the same name.
CREATE TABLE IF NOT EXISTS {ns}_schedules (
    name TEXT NOT NULL,
    hash TEXT NOT NULL,
    declared INTEGER NOT NULL,
    paused INTEGER NOT NULL,
    due INTEGER NOT NULL,
    at INTEGER NOT NULL,
    last INTEGER NOT NULL,
    job TEXT NOT NULL,
    ticks INTEGER NOT NULL,
    skipped INTEGER NOT NULL,
    spec BLOB NOT NULL,
    deploy INTEGER NOT NULL,
    hidden BLOB NOT NULL,
    PRIMARY KEY (name)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS {ns}_schedules_at ON {ns}_schedules (at, name);

-- Which schedules the code of each node declares, and of which deploy it is. With an empty name: the
-- deploy that has begun to declare its schedules, and whether it is `done`.
CREATE TABLE IF NOT EXISTS {ns}_declared (
    node TEXT NOT NULL,
    name TEXT NOT NULL,
    deploy INTEGER NOT NULL,
    done INTEGER NOT NULL,
    PRIMARY KEY (node, name)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS {ns}_declared_name ON {ns}_declared (name, node);

-- Slots of gates, which limit how many jobs run at once. A slot counts only while the job is claimed by
-- the claim of that `place`, `request` and `idx`. Rows of other claims are void. `number`: from 0,
-- below the gate's limit. `handed`: how often the slot was handed on.
CREATE TABLE IF NOT EXISTS {ns}_slots (
    name TEXT NOT NULL,
    number INTEGER NOT NULL,
    id TEXT NOT NULL,
    place TEXT NOT NULL,
    request INTEGER NOT NULL,
    idx INTEGER NOT NULL,
    handed INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (name, number)
) WITHOUT ROWID;

-- `deploys`: the last deploy.
CREATE TABLE IF NOT EXISTS {ns}_schema (
    one INTEGER NOT NULL DEFAULT 1,
    version INTEGER NOT NULL,
    deploys INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (one)
) WITHOUT ROWID;
