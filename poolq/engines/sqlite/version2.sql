-- Version 2: from version 1, with all that is stored.

-- The due time has another name, so that a poolq of version 1 that still runs stops: it would take
-- delayed jobs for ready ones. `place` may also be 'd', delayed until `due_at`, and
-- 'r:<microseconds>:<key>', held back by that rate limit until `due_at`, with its due time in
-- `taken`. `lasts`: until when the slot that it was given is its own, though it is not running.
-- `reviewed`: that it came from a line without a slot, to have its limits asked again.
ALTER TABLE {ns}_jobs RENAME COLUMN due TO due_at;
ALTER TABLE {ns}_jobs ADD COLUMN lasts INTEGER NOT NULL DEFAULT 0;
ALTER TABLE {ns}_jobs ADD COLUMN reviewed TEXT NOT NULL DEFAULT '';
UPDATE {ns}_jobs SET place = 'd'
    WHERE place = '' AND due_at > CAST(strftime('%s', 'now') AS INTEGER) * 1000000;

-- `since`: when `slot` was last worked out, which is in the future if the clock has gone back since.
-- `review`: since when workers are registered that are to ask the head of the line for its limits.
ALTER TABLE {ns}_lines ADD COLUMN since INTEGER NOT NULL DEFAULT 0;
ALTER TABLE {ns}_lines ADD COLUMN review INTEGER NOT NULL DEFAULT 0;
CREATE INDEX IF NOT EXISTS {ns}_lines_earliest ON {ns}_lines (slot, queue);
CREATE INDEX IF NOT EXISTS {ns}_lines_since ON {ns}_lines (since, slot);
CREATE INDEX IF NOT EXISTS {ns}_lines_review ON {ns}_lines (review, queue);

-- `since`: when it was registered. `aside`: how often it has settled beside its steps.
ALTER TABLE {ns}_workers ADD COLUMN since INTEGER NOT NULL DEFAULT 0;
ALTER TABLE {ns}_workers ADD COLUMN aside INTEGER NOT NULL DEFAULT 0;

-- `used`: when it was last found to have been used. `total`: of its counters, at that time.
ALTER TABLE {ns}_queues ADD COLUMN used INTEGER NOT NULL DEFAULT 0;
ALTER TABLE {ns}_queues ADD COLUMN total INTEGER NOT NULL DEFAULT 0;
CREATE INDEX IF NOT EXISTS {ns}_queues_used ON {ns}_queues (used);
CREATE INDEX IF NOT EXISTS {ns}_queues_paused ON {ns}_queues (paused, queue);
CREATE INDEX IF NOT EXISTS {ns}_counters_queue ON {ns}_counters (queue, worker);

-- `starts`: how many there have been, in all of its windows.
ALTER TABLE {ns}_windows ADD COLUMN starts INTEGER NOT NULL DEFAULT 0;
