"""The statements that store new jobs in a SQLite file, and their arguments.

A unique job and its key are stored by one statement, which is its own transaction: it inserts into
a view, whose trigger inserts into both tables. The statement changes nothing if somebody has the
key. The view belongs to the connection, so it is no part of the schema.
"""

from collections.abc import Sequence

from poolq.engines.sql.location import DELAYED, QUEUED
from poolq.jobs.message import Push
from poolq.jobs.ties import TiedPush, UniqueRight

Values = tuple[object, ...]

INSERT_JOB = "INSERT INTO {jobs} (id, place, due_at, queue, body) VALUES (?, ?, ?, ?, ?)"
INSERT_EXPIRING = """INSERT INTO {jobs} (id, place, due_at, queue, body, expires_at)
    VALUES (?, ?, ?, ?, ?, ?)"""
#: Prepare a connection for INSERT_UNIQUE.
MAKE_VIEW = """CREATE TEMP VIEW IF NOT EXISTS new_unique AS SELECT id, place, due_at, queue, body,
    expires_at, ties, '' AS name, 0 AS ends FROM {jobs}"""
MAKE_TRIGGER = """CREATE TEMP TRIGGER IF NOT EXISTS store_new_unique INSTEAD OF INSERT ON new_unique
    BEGIN
    INSERT INTO {unique_keys} (name, id, ends) VALUES (NEW.name, NEW.id, NEW.ends);
    INSERT INTO {jobs} (id, place, due_at, queue, body, expires_at, ties) VALUES
    (NEW.id, NEW.place, NEW.due_at, NEW.queue, NEW.body, NEW.expires_at, NEW.ties);
    END"""
INSERT_UNIQUE = """INSERT OR ROLLBACK INTO new_unique
    (id, place, due_at, queue, body, expires_at, ties, name, ends)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"""


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


def unique_rows(now: int, pushes: Sequence[TiedPush]) -> Sequence[Values]:
    """Return the arguments of INSERT_UNIQUE for those of these jobs that have a right."""
    found = []
    for (id_, queue, body, delay, at, expires), right in pushes:
        if right is not None:
            place, due = place_and_due(now, delay, at) if delay or at else (QUEUED, now)
            expires_at = due + expires if expires else None
            ends = now + right.lasts if right.lasts else 0
            row = id_, place, due, queue, body, expires_at, right.ties, right.key, ends
            found.append(row)
    return found


def unique_row(right: UniqueRight, job: Values, expires_at: int | None, now: int) -> Values:
    """Return the arguments of INSERT_UNIQUE. `job`: those of INSERT_JOB."""
    return *job, expires_at, right.ties, right.key, now + right.lasts if right.lasts else 0


def place_and_due(now: int, delay: int, at: int) -> tuple[str, int]:
    """Return where a new job is stored and when it is due. A due time in the past becomes now."""
    due = at or now + delay
    return (DELAYED, due) if due > now else (QUEUED, now)
