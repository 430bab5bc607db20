"""The statements that store new jobs in a SQLite file, and their arguments.

A single unique job and its key are stored by one statement, which is its own transaction: it
inserts into a view, whose trigger inserts into both tables. The statement changes nothing if
somebody has the key. The view belongs to the connection, so it is no part of the schema. The keys
of many jobs are stored first, then the jobs, because the trigger would take longer.
"""

from collections.abc import Sequence

from poolq.engines.sql.location import DELAYED, QUEUED
from poolq.engines.sql.session import BatchQuery
from poolq.jobs.message import Push
from poolq.jobs.ties import UniquePushes, tie

Values = tuple[object, ...]

INSERT_JOB = "INSERT INTO {jobs} (id, place, due_at, queue, body) VALUES (?, ?, ?, ?, ?)"
INSERT_EXPIRING = """INSERT INTO {jobs} (id, place, due_at, queue, body, expires_at)
    VALUES (?, ?, ?, ?, ?, ?)"""
#: A job that never expires is stored without `expires_at`, whose NULL alone would take 2 µs.
INSERT_TIED = INSERT_JOB.replace("body)", "body, ties)").replace("?)", "?, ?)")
INSERT_TIED_EXPIRING = INSERT_TIED.replace("ties)", "ties, expires_at)").replace("?)", "?, ?)")
INSERT_KEYS = "INSERT INTO {unique_keys} (name, id, ends) VALUES (?, ?, ?)"
#: Prepare a connection for INSERT_UNIQUE.
MAKE_VIEW = """CREATE TEMP VIEW IF NOT EXISTS new_unique AS SELECT id, place, due_at, queue, body,
    ties, '' AS name, 0 AS ends FROM {jobs}"""
MAKE_TRIGGER = """CREATE TEMP TRIGGER IF NOT EXISTS store_new_unique INSTEAD OF INSERT ON new_unique
    BEGIN
    INSERT INTO {unique_keys} (name, id, ends) VALUES (NEW.name, NEW.id, NEW.ends);
    INSERT INTO {jobs} (id, place, due_at, queue, body, ties) VALUES
    (NEW.id, NEW.place, NEW.due_at, NEW.queue, NEW.body, NEW.ties);
    END"""
INSERT_UNIQUE = """INSERT OR ROLLBACK INTO new_unique
    (id, place, due_at, queue, body, ties, name, ends) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"""


def plain_rows(now: int, pushes: Sequence[Push]) -> Sequence[Values]:
    """Return the arguments of INSERT_JOB for those of these jobs that never expire."""
    return [
        (id_, *place_and_due(now, delay, at), queue, body)
        if delay or at
        else (id_, QUEUED, now, queue, body)
        for id_, queue, body, delay, at, expires in pushes
        if not expires
    ]


def expiring_rows(now: int, pushes: Sequence[Push]) -> Sequence[Values]:
    """Return the arguments of INSERT_EXPIRING for those of these jobs that expire."""
    found = []
    for id_, queue, body, delay, at, expires in pushes:
        if expires:
            place, due = place_and_due(now, delay, at)
            found.append((id_, place, due, queue, body, due + expires))
    return found


def unique_queries(now: int, jobs: UniquePushes) -> list[BatchQuery]:
    """Return the statements that store these jobs and their keys."""
    ends = now + jobs.lasts if jobs.lasts else 0
    keys: list[Values] = [
        (key, push.id, ends) for key, push in zip(jobs.keys, jobs.pushes, strict=True)
    ]
    rows: list[Values] = []
    expiring: list[Values] = []
    for (id_, queue, body, delay, at, expires), ties in zip(jobs.pushes, jobs.ties, strict=True):
        place, due = place_and_due(now, delay, at) if delay or at else (QUEUED, now)
        row = id_, place, due, queue, body, ties
        if expires:
            expiring.append((*row, due + expires))
        else:
            rows.append(row)
    some: dict[str, list[Values]] = {
        INSERT_KEYS: keys, INSERT_TIED: rows, INSERT_TIED_EXPIRING: expiring
    }  # fmt: skip
    return [BatchQuery(sql, found) for sql, found in some.items() if found]


def unique_row(jobs: UniquePushes, now: int) -> Values:
    """Return the arguments of INSERT_UNIQUE for a single job."""
    ((id_, queue, body, delay, at, _),), (key,), until, lasts, _ = jobs
    place, due = place_and_due(now, delay, at) if delay or at else (QUEUED, now)
    return id_, place, due, queue, body, tie(key, until), key, now + lasts if lasts else 0


def place_and_due(now: int, delay: int, at: int) -> tuple[str, int]:
    """Return where a new job is stored and when it is due. A due time in the past becomes now."""
    due = at or now + delay
    return (DELAYED, due) if due > now else (QUEUED, now)
