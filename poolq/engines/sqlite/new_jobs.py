"""The statements that store new jobs in a SQLite file, and their arguments.

A single unique job and its key are stored by one statement, which is its own transaction: it
inserts into a view, whose trigger inserts into both tables. The statement changes nothing if
somebody has the key. The view belongs to the connection, so it is no part of the schema. The keys
of many jobs are stored first, then the jobs, because the trigger would take longer.
"""

from collections.abc import Sequence

from poolq.engines.sql.location import DELAYED, QUEUED
from poolq.jobs.message import Push
from poolq.jobs.unique import UniqueKey

Values = tuple[object, ...]

INSERT_JOB = """INSERT INTO {jobs} (id, place, due_at, queue, body, expires_at, ties, history)
    VALUES (?, ?, ?, ?, ?, ?, ?, x'')"""
#: The same for plain jobs. Two more NULLs would take a tenth of the time to store many.
INSERT_PLAIN = """INSERT INTO {jobs} (id, place, due_at, queue, body, history)
    VALUES (?, ?, ?, ?, ?, x'')"""
INSERT_KEY = "INSERT INTO {unique_keys} (name, id, ends) VALUES (?, ?, ?)"
#: Prepare a connection for INSERT_UNIQUE.
MAKE_VIEW = """CREATE TEMP VIEW IF NOT EXISTS new_unique AS SELECT id, place, due_at, queue, body,
    expires_at, ties, '' AS name, 0 AS ends FROM {jobs}"""
MAKE_TRIGGER = """CREATE TEMP TRIGGER IF NOT EXISTS store_new_unique INSTEAD OF INSERT ON new_unique
    BEGIN
    INSERT INTO {unique_keys} (name, id, ends) VALUES (NEW.name, NEW.id, NEW.ends);
    INSERT INTO {jobs} (id, place, due_at, queue, body, expires_at, ties, history) VALUES
    (NEW.id, NEW.place, NEW.due_at, NEW.queue, NEW.body, NEW.expires_at, NEW.ties, x'');
    END"""
INSERT_UNIQUE = """INSERT OR ROLLBACK INTO new_unique
    (id, place, due_at, queue, body, expires_at, ties, name, ends)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"""


def plain_rows(now: int, pushes: Sequence[Push]) -> list[Values]:
    """Return the arguments of INSERT_PLAIN for those of these jobs that are due now, never expire
    and are not unique."""
    return [
        (id_, QUEUED, now, queue, body)
        for id_, queue, body, delay, at, expires, unique, _ in pushes
        if not (delay or at or expires or unique)
    ]


def job_row(now: int, push: Push) -> Values:
    """Return the arguments of INSERT_JOB for a job. A due time in the past becomes now."""
    id_, queue, body, delay, at, expires, unique, _ = push
    place, due = QUEUED, now
    if (delay or at) and (later := at or now + delay) > now:
        place, due = DELAYED, later
    ends = due + expires if expires else None
    return id_, place, due, queue, body, ends, None if unique is None else unique.stored


def key_row(now: int, id_: str, unique: UniqueKey) -> Values:
    """Return the arguments of INSERT_KEY for a unique job."""
    return unique.key, id_, now + unique.lasts if unique.lasts else 0
