-- Version 2: from version 1, with all that is stored. An UPDATE is run until it changes nothing.

-- The due time has another name, so that a poolq of version 1 that still runs stops: it would take
-- delayed jobs for ready ones. `place` may also be 'd', delayed until `due_at`, and
-- 'r:<microseconds>:<key>', held back by that rate limit until `due_at`, with its due time in
-- `taken`. `lasts`: until when the slot that it was given is its own, though it is not running.
-- `reviewed`: that it came from a line without a slot, to have its limits asked again.
ALTER TABLE {ns}_jobs CHANGE COLUMN due due_at BIGINT NOT NULL;
ALTER TABLE {ns}_jobs ADD COLUMN lasts BIGINT NOT NULL DEFAULT 0;
ALTER TABLE {ns}_jobs ADD COLUMN reviewed VARBINARY(1120) NOT NULL DEFAULT '';
UPDATE {ns}_jobs SET place = 'd' WHERE place = ''
    AND due_at > CAST(UNIX_TIMESTAMP(NOW(6)) * 1000000 AS SIGNED) LIMIT 10000;

-- `since`: when `slot` was last worked out, which is in the future if the clock has gone back since.
-- `review`: since when workers are registered that are to ask the head of the line for its limits.
ALTER TABLE {ns}_lines ADD COLUMN since BIGINT NOT NULL DEFAULT 0;
ALTER TABLE {ns}_lines ADD COLUMN review BIGINT NOT NULL DEFAULT 0;
ALTER TABLE {ns}_lines ADD KEY earliest (slot, queue);
ALTER TABLE {ns}_lines ADD KEY since (since, slot);
ALTER TABLE {ns}_lines ADD KEY review (review, queue);

-- `since`: when it was registered. `aside`: how often it has settled beside its steps.
ALTER TABLE {ns}_workers ADD COLUMN since BIGINT NOT NULL DEFAULT 0;
ALTER TABLE {ns}_workers ADD COLUMN aside BIGINT NOT NULL DEFAULT 0;

-- `used`: when it was last found to have been used. `total`: of its counters, at that time.
ALTER TABLE {ns}_queues ADD COLUMN used BIGINT NOT NULL DEFAULT 0;
ALTER TABLE {ns}_queues ADD COLUMN total BIGINT NOT NULL DEFAULT 0;
ALTER TABLE {ns}_queues ADD KEY used (used);
ALTER TABLE {ns}_queues ADD KEY paused (paused, queue);
ALTER TABLE {ns}_counters ADD KEY queue (queue, worker);

-- `starts`: how many there have been, in all of its windows.
ALTER TABLE {ns}_windows ADD COLUMN starts BIGINT NOT NULL DEFAULT 0;
