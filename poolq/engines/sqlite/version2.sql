-- Version 2: migrates version 1 and its data.

-- The due time gets another name, so that an older poolq that is still running fails, instead of
-- taking delayed jobs for ready ones. `place` may also be 'd' (delayed until `due_at`), or
-- 'r:<microseconds>:<key>' (released by that limit until `due_at`, with the due time in `taken`).
-- `lasts`: until when a slot is reserved for the job. `reviewed`: the job was claimed from a line
-- without a slot, to ask its code for its limits again.
ALTER TABLE {ns}_jobs RENAME COLUMN due TO due_at;
ALTER TABLE {ns}_jobs ADD COLUMN lasts INTEGER NOT NULL DEFAULT 0;
ALTER TABLE {ns}_jobs ADD COLUMN reviewed TEXT NOT NULL DEFAULT '';
UPDATE {ns}_jobs SET place = 'd'
    WHERE place = '' AND due_at > CAST(strftime('%s', 'now') AS INTEGER) * 1000000;

-- `since`: when `slot` was calculated. A time in the future shows that the clock has gone back.
-- `review`: workers that registered then or later review the limits of the line's head (0: none).
ALTER TABLE {ns}_lines ADD COLUMN since INTEGER NOT NULL DEFAULT 0;
ALTER TABLE {ns}_lines ADD COLUMN review INTEGER NOT NULL DEFAULT 0;
CREATE INDEX IF NOT EXISTS {ns}_lines_earliest ON {ns}_lines (slot, queue);
CREATE INDEX IF NOT EXISTS {ns}_lines_since ON {ns}_lines (since, slot);
CREATE INDEX IF NOT EXISTS {ns}_lines_review ON {ns}_lines (review, queue);

-- `since`: when the worker was registered. `aside`: how often it settled outside its steps.
ALTER TABLE {ns}_workers ADD COLUMN since INTEGER NOT NULL DEFAULT 0;
ALTER TABLE {ns}_workers ADD COLUMN aside INTEGER NOT NULL DEFAULT 0;

-- `used`: when the queue was last found in use. `total`: the sum of its counters at that time.
ALTER TABLE {ns}_queues ADD COLUMN used INTEGER NOT NULL DEFAULT 0;
ALTER TABLE {ns}_queues ADD COLUMN total INTEGER NOT NULL DEFAULT 0;
CREATE INDEX IF NOT EXISTS {ns}_queues_used ON {ns}_queues (used);
CREATE INDEX IF NOT EXISTS {ns}_queues_paused ON {ns}_queues (paused, queue);
CREATE INDEX IF NOT EXISTS {ns}_counters_queue ON {ns}_counters (queue, worker);

-- `starts`: how many starts were counted in all windows. `log`: the starts in a sliding window, whose
-- `span` is negative, as JSON: [[time, as how many starts it counts], ...]. `plain`: 1 if there is
-- certainly neither a hold of the key nor a limit that a person has set.
ALTER TABLE {ns}_windows ADD COLUMN starts INTEGER NOT NULL DEFAULT 0;
ALTER TABLE {ns}_windows ADD COLUMN log BLOB;
ALTER TABLE {ns}_windows ADD COLUMN plain INTEGER NOT NULL DEFAULT 0;

-- Limits that people have set in place of `most`, by key and window.
CREATE TABLE IF NOT EXISTS {ns}_overrides (
    name TEXT NOT NULL,
    span INTEGER NOT NULL,
    most INTEGER NOT NULL,
    PRIMARY KEY (name, span)
) WITHOUT ROWID;

-- `expires_at`: when the job expires, if it does. Of a failed job, `expires`: how long after a retry.
ALTER TABLE {ns}_jobs ADD COLUMN expires_at INTEGER;
ALTER TABLE {ns}_failed ADD COLUMN expires INTEGER;

-- Keys of limits that are held, so that no job starts under them: since when, and until when.
CREATE TABLE IF NOT EXISTS {ns}_holds (
    name TEXT NOT NULL,
    start INTEGER NOT NULL,
    ends INTEGER NOT NULL,
    PRIMARY KEY (name)
) WITHOUT ROWID;

-- `cancelled`: how many jobs were cancelled while they were running. `discarded`: how many jobs ended
-- with an error that does not matter. `snoozed`: how often jobs have postponed themselves.
-- `skipped`: how many jobs gave way to the one that has their unique key. `replaced`: how many waiting
-- jobs another one with their key has replaced. `expired`: how many jobs were deleted because they were
-- too late to be run.
ALTER TABLE {ns}_counters ADD COLUMN cancelled INTEGER NOT NULL DEFAULT 0;
ALTER TABLE {ns}_counters ADD COLUMN discarded INTEGER NOT NULL DEFAULT 0;
ALTER TABLE {ns}_counters ADD COLUMN snoozed INTEGER NOT NULL DEFAULT 0;
ALTER TABLE {ns}_counters ADD COLUMN skipped INTEGER NOT NULL DEFAULT 0;
ALTER TABLE {ns}_counters ADD COLUMN replaced INTEGER NOT NULL DEFAULT 0;
ALTER TABLE {ns}_counters ADD COLUMN expired INTEGER NOT NULL DEFAULT 0;

-- `ties`: the job's rights as JSON, or NULL (see jobs/ties.py). `unique_keys`: which job has a unique
-- key, and when the key ends if it is held for a time (else 0).
ALTER TABLE {ns}_jobs ADD COLUMN ties BLOB;
ALTER TABLE {ns}_failed ADD COLUMN ties BLOB;
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
    PRIMARY KEY (name)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS {ns}_schedules_at ON {ns}_schedules (at, name);

-- Which schedules the code of each node declares, and with an empty name the digest of all of them.
-- `pending`: 1 if another schedule of that name is stored, and `spec` is what is to replace it.
CREATE TABLE IF NOT EXISTS {ns}_declared (
    node TEXT NOT NULL,
    name TEXT NOT NULL,
    hash TEXT NOT NULL,
    pending INTEGER NOT NULL,
    spec BLOB NOT NULL,
    PRIMARY KEY (node, name)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS {ns}_declared_name ON {ns}_declared (name, node);
CREATE INDEX IF NOT EXISTS {ns}_declared_pending ON {ns}_declared (pending, node);

-- Slots of gates, which limit how many jobs run at once. A slot counts only while the job is claimed by
-- the claim of that `place`, `request` and `idx`. Rows of other claims are void. `seat`: the job that
-- took the slot first. `handed`: how often it was handed on since then.
CREATE TABLE IF NOT EXISTS {ns}_slots (
    name TEXT NOT NULL,
    seat TEXT NOT NULL,
    id TEXT NOT NULL,
    place TEXT NOT NULL,
    request INTEGER NOT NULL,
    idx INTEGER NOT NULL,
    handed INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (name, seat)
) WITHOUT ROWID;
