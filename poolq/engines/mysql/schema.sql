-- poolq on MySQL 8.0.1+ and MariaDB 10.6+, version 1.
-- Names are VARBINARY, so that they are compared byte by byte. Times are microseconds since the
-- epoch, UTC. {ns} is the namespace.

-- Jobs that wait or run. `place`: '' in the queue (delayed until `due`), 'w:<worker>' claimed,
-- 'p:<microseconds>:<key>' parked in a rate limit's line. (worker, request, idx) identify a claim.
-- `admitted`: the claim includes a slot of the job's limit. `taken`: when the job was claimed.
CREATE TABLE IF NOT EXISTS {ns}_jobs (
    id CHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    place VARBINARY(1100) NOT NULL DEFAULT '',
    queue VARBINARY(255) NOT NULL,
    due BIGINT NOT NULL,
    request BIGINT NOT NULL DEFAULT 0,
    idx INT NOT NULL DEFAULT 0,
    admitted TINYINT NOT NULL DEFAULT 0,
    taken BIGINT NOT NULL DEFAULT 0,
    attempt INT NOT NULL DEFAULT 0,
    crashes INT NOT NULL DEFAULT 0,
    failing INT NOT NULL DEFAULT 0,
    history LONGBLOB NOT NULL,
    rules BLOB,
    body LONGBLOB NOT NULL,
    PRIMARY KEY (id),
    KEY turn (place, queue, due, id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

-- Failed jobs, with their history.
CREATE TABLE IF NOT EXISTS {ns}_failed (
    id CHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    queue VARBINARY(255) NOT NULL,
    at BIGINT NOT NULL,
    attempt INT NOT NULL,
    crashes INT NOT NULL,
    failing INT NOT NULL,
    history LONGBLOB NOT NULL,
    body LONGBLOB NOT NULL,
    PRIMARY KEY (id),
    KEY newest (at, id),
    KEY newest_of_queue (queue, at, id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

-- Queues that jobs were pushed to. `armed` and `seen` are the wake-up token.
CREATE TABLE IF NOT EXISTS {ns}_queues (
    queue VARBINARY(255) NOT NULL,
    paused TINYINT NOT NULL DEFAULT 0,
    armed TINYINT NOT NULL DEFAULT 1,
    seen BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (queue)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

-- Registered workers, with the number of the last request and the `stale` ids of the answer to it.
-- The claims in this answer are the jobs with the same `request`. `due` is no longer used.
CREATE TABLE IF NOT EXISTS {ns}_workers (
    worker VARBINARY(255) NOT NULL,
    node VARBINARY(255) NOT NULL,
    host VARBINARY(255) NOT NULL,
    pool VARBINARY(255) NOT NULL,
    boot VARBINARY(255) NOT NULL,
    pidns VARBINARY(255) NOT NULL,
    pid BIGINT NOT NULL,
    started BIGINT NOT NULL,
    request BIGINT NOT NULL DEFAULT -1,
    stale LONGBLOB NOT NULL,
    due BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (worker),
    KEY node (node, worker)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

-- Running pools. `beat` counts their heartbeats.
CREATE TABLE IF NOT EXISTS {ns}_nodes (
    node VARBINARY(255) NOT NULL,
    beat BIGINT NOT NULL,
    info LONGBLOB NOT NULL,
    PRIMARY KEY (node)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

-- Windows of rate limits, `span` microseconds long. `used`: how many of `most` starts were made.
CREATE TABLE IF NOT EXISTS {ns}_windows (
    name VARBINARY(1000) NOT NULL,
    span BIGINT NOT NULL,
    most BIGINT NOT NULL,
    start BIGINT NOT NULL,
    used BIGINT NOT NULL,
    ends BIGINT NOT NULL,
    PRIMARY KEY (name, span),
    KEY ends (ends)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

-- Lines of parked jobs, one for each limit and queue. `slot`: when to try the first job again.
CREATE TABLE IF NOT EXISTS {ns}_lines (
    place VARBINARY(1100) NOT NULL,
    queue VARBINARY(255) NOT NULL,
    slot BIGINT NOT NULL,
    name VARBINARY(1000) NOT NULL,
    span BIGINT NOT NULL,
    most BIGINT NOT NULL,
    PRIMARY KEY (place, queue),
    KEY slot (queue, slot)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

-- How often each event has happened, by worker ('' for recovered workers) and queue.
CREATE TABLE IF NOT EXISTS {ns}_counters (
    worker VARBINARY(255) NOT NULL,
    queue VARBINARY(255) NOT NULL,
    done BIGINT NOT NULL,
    failed BIGINT NOT NULL,
    retried BIGINT NOT NULL,
    limited BIGINT NOT NULL,
    parked BIGINT NOT NULL,
    crashed BIGINT NOT NULL,
    PRIMARY KEY (worker, queue)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;

CREATE TABLE IF NOT EXISTS {ns}_schema (
    one TINYINT NOT NULL DEFAULT 1,
    version INT NOT NULL,
    PRIMARY KEY (one)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
