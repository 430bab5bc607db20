-- PostgreSQL alone: rows that each step would change. Their old versions stay for held snapshots.

-- The last answer to each worker, instead of that in {workers}. `held`: the ids of its jobs then.
CREATE TABLE IF NOT EXISTS {answers} (
    worker {text:255} NOT NULL,
    request BIGINT NOT NULL,
    stale {bytes} NOT NULL,
    held {text} NOT NULL,
    PRIMARY KEY (worker, request)
) {clustered};

-- The wake-up token of each queue, instead of `armed` and `seen` of {queues}. Each change moves it
-- to the next `n`. Only the newest row of a queue counts.
CREATE TABLE IF NOT EXISTS {tokens} (
    queue {text:255} NOT NULL,
    n BIGINT NOT NULL DEFAULT 0,
    armed SMALLINT NOT NULL DEFAULT 1,
    seen BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (queue, n)
) {clustered};

-- What is to be added to {counters}. Keepers do that each second.
CREATE TABLE IF NOT EXISTS {added} (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    queue {text:255} NOT NULL,
    done BIGINT NOT NULL,
    failed BIGINT NOT NULL,
    retried BIGINT NOT NULL,
    limited BIGINT NOT NULL,
    parked BIGINT NOT NULL,
    crashed BIGINT NOT NULL,
    cancelled BIGINT NOT NULL,
    discarded BIGINT NOT NULL,
    snoozed BIGINT NOT NULL,
    skipped BIGINT NOT NULL,
    replaced BIGINT NOT NULL,
    expired BIGINT NOT NULL,
    PRIMARY KEY (id)
) {clustered};

-- Until when somebody waits for jobs, in seconds since the epoch.
CREATE SEQUENCE IF NOT EXISTS {waiting} MINVALUE 0 START 0;
