-- poolq's tables. Names are compared byte by byte. Times are microseconds since the epoch,
-- UTC. Each statement can be repeated, as on MySQL each is committed by itself.

-- Jobs that wait or run. `place`: '' ready, 'b' ready again (on PostgreSQL), 'd' delayed until
-- `due_at`, 'w:<worker>' claimed, 'p:<microseconds>:<key>' parked in a rate limit's line,
-- 'r:<microseconds>:<key>' released by that limit until `due_at`, with the due time in `taken`.
-- (worker, request, idx) identify a claim.
-- `admitted`: the claim includes a slot of the job's limit. `taken`: when the job was claimed.
-- `lasts`: until when a slot is reserved for the job. `deploy`: the deploy whose code named the
-- job's limits when it parked. `expires_at`: when the job expires, if it does. `effects`: what
-- the job holds beside its place, or NULL (see effects.py).
CREATE TABLE IF NOT EXISTS {jobs} (
    id {id} NOT NULL,
    place {text:1100} NOT NULL DEFAULT '',
    queue {text:255} NOT NULL,
    due_at BIGINT NOT NULL,
    request BIGINT NOT NULL DEFAULT 0,
    idx INT NOT NULL DEFAULT 0,
    admitted SMALLINT NOT NULL DEFAULT 0,
    taken BIGINT NOT NULL DEFAULT 0,
    attempt INT NOT NULL DEFAULT 0,
    crashes INT NOT NULL DEFAULT 0,
    failing INT NOT NULL DEFAULT 0,
    history {bytes} NOT NULL,
    rules {bytes},
    body {bytes} NOT NULL,
    lasts BIGINT NOT NULL DEFAULT 0,
    deploy BIGINT NOT NULL DEFAULT 0,
    expires_at BIGINT,
    effects {bytes},
    PRIMARY KEY (id),
    KEY turn (place, queue, due_at, {ordering:id})
) {table};

-- Failed jobs, with their history. `expires`: how long after a retry the job expires.
CREATE TABLE IF NOT EXISTS {failed} (
    id {id} NOT NULL,
    queue {text:255} NOT NULL,
    at BIGINT NOT NULL,
    attempt INT NOT NULL,
    crashes INT NOT NULL,
    failing INT NOT NULL,
    history {bytes} NOT NULL,
    body {bytes} NOT NULL,
    expires BIGINT,
    effects {bytes},
    PRIMARY KEY (id),
    KEY newest (at, {ordering:id}),
    KEY newest_of_queue (queue, at, {ordering:id})
) {table};

-- Queues that jobs were pushed to. `armed` and `seen` are the wake-up token. `used`: when the queue
-- was last found in use. `total`: the sum of its counters at that time.
CREATE TABLE IF NOT EXISTS {queues} (
    queue {text:255} NOT NULL,
    paused SMALLINT NOT NULL DEFAULT 0,
    armed SMALLINT NOT NULL DEFAULT 1,
    seen BIGINT NOT NULL DEFAULT 0,
    used BIGINT NOT NULL DEFAULT 0,
    total BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (queue),
    KEY used (used),
    KEY paused (paused)
) {clustered};

-- Registered workers, with the number of the last request and the `stale` ids of the answer to it.
-- The claims in this answer are the jobs with the same `request`. `deploy`: the deploy of its code.
CREATE TABLE IF NOT EXISTS {workers} (
    worker {text:255} NOT NULL,
    node {text:255} NOT NULL,
    host {text:255} NOT NULL,
    pool {text:255} NOT NULL,
    boot {text:255} NOT NULL,
    pidns {text:255} NOT NULL,
    pid BIGINT NOT NULL,
    started BIGINT NOT NULL,
    request BIGINT NOT NULL DEFAULT -1,
    stale {bytes} NOT NULL,
    deploy BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (worker),
    KEY node (node)
) {clustered};

-- Running pools. `beat` counts their heartbeats.
CREATE TABLE IF NOT EXISTS {nodes} (
    node {text:255} NOT NULL,
    beat BIGINT NOT NULL,
    info {bytes} NOT NULL,
    PRIMARY KEY (node)
) {clustered};

-- Windows of rate limits, `span` microseconds long. `used`: how many of `most` starts were made
-- (for a gate, see concurrent_slots.py). `deploy`: for a gate, the deploy whose code named `most`.
-- `starts`: how many starts were counted in all windows. `log`: the starts in a sliding window,
-- whose `span` is negative, as JSON: [[time, as how many starts it counts], ...]. `held`: when the
-- key's last known hold ends. `set_most`: the limit that a person has set instead of the code's.
CREATE TABLE IF NOT EXISTS {windows} (
    name {text:1000} NOT NULL,
    span BIGINT NOT NULL,
    most BIGINT NOT NULL,
    deploy BIGINT NOT NULL DEFAULT 0,
    start BIGINT NOT NULL,
    used BIGINT NOT NULL,
    ends BIGINT NOT NULL,
    starts BIGINT NOT NULL DEFAULT 0,
    log {bytes},
    held BIGINT NOT NULL DEFAULT 0,
    set_most BIGINT,
    PRIMARY KEY (name, span),
    KEY ends (ends, {ordering:name})
) {clustered};

-- Lines of parked and released jobs, for each limit and queue. `slot`: when to try the first job
-- again. `since`: when `slot` was calculated. A time in the future shows that the clock has gone
-- back. `deploy`: the deploy whose code named `most`. Lines of released jobs and of holds have
-- NO_DEPLOY.
CREATE TABLE IF NOT EXISTS {lines} (
    place {text:1100} NOT NULL,
    queue {text:255} NOT NULL,
    slot BIGINT NOT NULL,
    name {text:1000} NOT NULL,
    span BIGINT NOT NULL,
    most BIGINT NOT NULL,
    since BIGINT NOT NULL DEFAULT 0,
    deploy BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (place, queue),
    KEY slot ({ordering:queue}, slot),
    KEY since (since, slot),
    KEY deploy ({ordering:queue}, deploy, {ordering:place})
) {clustered};

-- How often each event has happened, by worker ('' for recovered workers, and if no worker is
-- involved) and queue.
-- `cancelled`: how many jobs were cancelled, waiting or running. `discarded`: how many jobs ended
-- with an error that does not matter. `snoozed`: how often jobs have postponed themselves.
-- `skipped`: how many jobs were not stored because another job had their unique key. `replaced`:
-- how many waiting jobs were replaced by a job with the same key. `expired`: how many jobs were
-- deleted because they were too late to be run.
CREATE TABLE IF NOT EXISTS {counters} (
    worker {text:255} NOT NULL,
    queue {text:255} NOT NULL,
    done BIGINT NOT NULL,
    failed BIGINT NOT NULL,
    retried BIGINT NOT NULL,
    limited BIGINT NOT NULL,
    parked BIGINT NOT NULL,
    crashed BIGINT NOT NULL,
    cancelled BIGINT NOT NULL DEFAULT 0,
    discarded BIGINT NOT NULL DEFAULT 0,
    snoozed BIGINT NOT NULL DEFAULT 0,
    skipped BIGINT NOT NULL DEFAULT 0,
    replaced BIGINT NOT NULL DEFAULT 0,
    expired BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (worker, queue),
    KEY queue ({ordering:queue})
) {clustered};

-- Limits that people have set in place of `most`, by key and window.
CREATE TABLE IF NOT EXISTS {overrides} (
    name {text:1000} NOT NULL,
    span BIGINT NOT NULL,
    most BIGINT NOT NULL,
    PRIMARY KEY (name, span)
) {clustered};

-- Holds: keys under whose limits no job starts from `start` to `ends`.
CREATE TABLE IF NOT EXISTS {holds} (
    name {text:1000} NOT NULL,
    start BIGINT NOT NULL,
    ends BIGINT NOT NULL,
    PRIMARY KEY (name)
) {clustered};

-- Which job has a unique key, and when the key ends if it is held for a time (else 0).
CREATE TABLE IF NOT EXISTS {unique_keys} (
    name {text:255} NOT NULL,
    id {id} NOT NULL,
    ends BIGINT NOT NULL,
    PRIMARY KEY (name),
    KEY ends (ends){where:ends > 0}
) {clustered};

-- Schedules of periodic jobs. `due`: the next tick. `at`: when a keeper looks at the schedule, far
-- in the future if it is paused or no living node declares it. `declared`: 1 if it comes from code.
-- `job`: the job of the tick `last`. `ticks` and `skipped` count ticks with and without a job.
-- `deploy`: the deploy whose code declared it. `hidden`: what this code declared, as
-- "<hash>\n<spec>", if a person has added a schedule of the same name.
CREATE TABLE IF NOT EXISTS {schedules} (
    name {text:255} NOT NULL,
    hash {text:64} NOT NULL,
    declared SMALLINT NOT NULL,
    paused SMALLINT NOT NULL,
    due BIGINT NOT NULL,
    at BIGINT NOT NULL,
    last BIGINT NOT NULL,
    job {text:64} NOT NULL,
    ticks BIGINT NOT NULL,
    skipped BIGINT NOT NULL,
    spec {bytes} NOT NULL,
    deploy BIGINT NOT NULL,
    hidden {bytes} NOT NULL,
    PRIMARY KEY (name),
    KEY at (at)
) {clustered};

-- Which schedules the code of each node declares, and the deploy of this code. The row with an
-- empty name has the last deploy of the node that has declared its schedules.
CREATE TABLE IF NOT EXISTS {declared} (
    node {text:255} NOT NULL,
    name {text:255} NOT NULL,
    deploy BIGINT NOT NULL,
    PRIMARY KEY (node, name),
    KEY name (name, node)
) {clustered};

-- Slots of gates, which limit how many jobs run at once. A slot counts only while the job is
-- claimed by the claim of that `place`, `request` and `idx`. Rows of other claims are void.
-- `number`: from 0, below the gate's limit. `handed`: how often the slot was handed on. The row of
-- `windows` with this name and GATE_SPAN is the gate's lock.
CREATE TABLE IF NOT EXISTS {slots} (
    name {text:1000} NOT NULL,
    number BIGINT NOT NULL,
    id {id} NOT NULL,
    place {text:1100} NOT NULL,
    request BIGINT NOT NULL,
    idx INT NOT NULL,
    handed BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (name, number)
) {clustered};

-- `deploys`: the last deploy. `id`: a random text that no other database has.
CREATE TABLE IF NOT EXISTS {schema} (
    one SMALLINT NOT NULL DEFAULT 1,
    version INT NOT NULL,
    deploys BIGINT NOT NULL DEFAULT 0,
    id {id} NOT NULL,
    PRIMARY KEY (one)
) {clustered};
