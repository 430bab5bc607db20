-- Version 2: migrates version 1 and its data. An UPDATE is repeated until it changes nothing.

-- The due time gets another name, so that an older poolq that is still running fails, instead of
-- taking delayed jobs for ready ones. `place` may also be 'd' (delayed until `due_at`), or
-- 'r:<microseconds>:<key>' (released by that limit until `due_at`, with the due time in `taken`).
-- `lasts`: until when a slot is reserved for the job. `reviewed`: the job was claimed from a line
-- without a slot, to ask its code for its limits again.
ALTER TABLE {ns}_jobs CHANGE COLUMN due due_at BIGINT NOT NULL;
ALTER TABLE {ns}_jobs ADD COLUMN lasts BIGINT NOT NULL DEFAULT 0;
ALTER TABLE {ns}_jobs ADD COLUMN reviewed VARBINARY(1120) NOT NULL DEFAULT '';
UPDATE {ns}_jobs SET place = 'd' WHERE place = ''
    AND due_at > CAST(UNIX_TIMESTAMP(NOW(6)) * 1000000 AS SIGNED) LIMIT 10000;

-- `since`: when `slot` was calculated. A time in the future shows that the clock has gone back.
-- `review`: workers that registered then or later review the limits of the line's head (0: none).
ALTER TABLE {ns}_lines ADD COLUMN since BIGINT NOT NULL DEFAULT 0;
ALTER TABLE {ns}_lines ADD COLUMN review BIGINT NOT NULL DEFAULT 0;
ALTER TABLE {ns}_lines ADD KEY earliest (slot, queue);
ALTER TABLE {ns}_lines ADD KEY since (since, slot);
ALTER TABLE {ns}_lines ADD KEY review (review, queue);

-- `since`: when the worker was registered. `aside`: how often it settled outside its steps.
ALTER TABLE {ns}_workers ADD COLUMN since BIGINT NOT NULL DEFAULT 0;
ALTER TABLE {ns}_workers ADD COLUMN aside BIGINT NOT NULL DEFAULT 0;

-- `used`: when the queue was last found in use. `total`: the sum of its counters at that time.
ALTER TABLE {ns}_queues ADD COLUMN used BIGINT NOT NULL DEFAULT 0;
ALTER TABLE {ns}_queues ADD COLUMN total BIGINT NOT NULL DEFAULT 0;
ALTER TABLE {ns}_queues ADD KEY used (used);
ALTER TABLE {ns}_queues ADD KEY paused (paused, queue);
ALTER TABLE {ns}_counters ADD KEY queue (queue, worker);

-- `starts`: how many starts were counted in all windows. `log`: the starts in a sliding window, whose
-- `span` is negative, as JSON: [[time, as how many starts it counts], ...]. `plain`: 1 if there is
-- certainly neither a hold of the key nor a limit that a person has set.
ALTER TABLE {ns}_windows ADD COLUMN starts BIGINT NOT NULL DEFAULT 0;
ALTER TABLE {ns}_windows ADD COLUMN log LONGBLOB;
ALTER TABLE {ns}_windows ADD COLUMN plain TINYINT NOT NULL DEFAULT 0;

-- Limits that people have set in place of `most`, by key and window.
CREATE TABLE IF NOT EXISTS {ns}_overrides (
    name VARBINARY(1000) NOT NULL,
    span BIGINT NOT NULL,
    most BIGINT NOT NULL,
    PRIMARY KEY (name, span)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

-- `expires_at`: when the job expires, if it does. Of a failed job, `expires`: how long after a retry.
ALTER TABLE {ns}_jobs ADD COLUMN expires_at BIGINT;
ALTER TABLE {ns}_failed ADD COLUMN expires BIGINT;

-- Keys of limits that are held, so that no job starts under them: since when, and until when.
CREATE TABLE IF NOT EXISTS {ns}_holds (
    name VARBINARY(1000) NOT NULL,
    start BIGINT NOT NULL,
    ends BIGINT NOT NULL,
    PRIMARY KEY (name)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

-- `cancelled`: how many jobs were cancelled while they were running. `discarded`: how many jobs ended
-- with an error that does not matter. `snoozed`: how often jobs have postponed themselves.
-- `skipped`: how many jobs gave way to the one that has their unique key. `replaced`: how many waiting
-- jobs another one with their key has replaced. `expired`: how many jobs were deleted because they were
-- too late to be run.
ALTER TABLE {ns}_counters ADD COLUMN cancelled BIGINT NOT NULL DEFAULT 0;
ALTER TABLE {ns}_counters ADD COLUMN discarded BIGINT NOT NULL DEFAULT 0;
ALTER TABLE {ns}_counters ADD COLUMN snoozed BIGINT NOT NULL DEFAULT 0;
ALTER TABLE {ns}_counters ADD COLUMN skipped BIGINT NOT NULL DEFAULT 0;
ALTER TABLE {ns}_counters ADD COLUMN replaced BIGINT NOT NULL DEFAULT 0;
ALTER TABLE {ns}_counters ADD COLUMN expired BIGINT NOT NULL DEFAULT 0;

-- `ties`: the job's rights as JSON, or NULL (see jobs/ties.py). `unique_keys`: which job has a unique
-- key, and when the key ends if it is held for a time (else 0).
ALTER TABLE {ns}_jobs ADD COLUMN ties BLOB;
ALTER TABLE {ns}_failed ADD COLUMN ties BLOB;
CREATE TABLE IF NOT EXISTS {ns}_unique_keys (
    name VARBINARY(255) NOT NULL,
    id CHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    ends BIGINT NOT NULL,
    PRIMARY KEY (name),
    KEY ends (ends)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

-- Schedules of periodic jobs. `due`: the next tick. `at`: when a keeper looks at it, far in the future
-- if it is paused or no living node declares it. `declared`: 1 if it comes from code. `job`: the job
-- of the tick `last`. `ticks` and `skipped` count ticks with and without a job.
CREATE TABLE IF NOT EXISTS {ns}_schedules (
    name VARBINARY(255) NOT NULL,
    hash VARBINARY(64) NOT NULL,
    declared TINYINT NOT NULL,
    paused TINYINT NOT NULL,
    due BIGINT NOT NULL,
    at BIGINT NOT NULL,
    last BIGINT NOT NULL,
    job VARBINARY(64) NOT NULL,
    ticks BIGINT NOT NULL,
    skipped BIGINT NOT NULL,
    spec LONGBLOB NOT NULL,
    PRIMARY KEY (name),
    KEY at (at, name)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

-- Which schedules the code of each node declares, and with an empty name the digest of all of them.
-- `pending`: 1 if another schedule of that name is stored, and `spec` is what is to replace it.
CREATE TABLE IF NOT EXISTS {ns}_declared (
    node VARBINARY(255) NOT NULL,
    name VARBINARY(255) NOT NULL,
    hash VARBINARY(64) NOT NULL,
    pending TINYINT NOT NULL,
    spec LONGBLOB NOT NULL,
    PRIMARY KEY (node, name),
    KEY name (name, node),
    KEY pending (pending, node)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

-- Slots of gates, which limit how many jobs run at once. A slot counts only while the job is claimed by
-- the claim of that `place`, `request` and `idx`. Rows of other claims are void. `seat`: the job that
-- took the slot first. `handed`: how often it was handed on since then. The row (name, GATE_WINDOW) of
-- the windows is the gate's lock. It is `plain` if there are no more rows than slots, and no job waits.
CREATE TABLE IF NOT EXISTS {ns}_slots (
    name VARBINARY(1000) NOT NULL,
    seat CHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    id CHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    place VARBINARY(1100) NOT NULL,
    request BIGINT NOT NULL,
    idx INT NOT NULL,
    handed BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (name, seat)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
