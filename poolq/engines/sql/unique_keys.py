"""The effect of a unique job (see `effects.py`): its key (see `jobs/unique.py`), as a row.

A transaction locks unique keys, sorted by key, after everything else except the counters. So the
changes of keys are collected, and sent at the end (`Transaction.at_end`). A new job and its key are
stored in one transaction, so a push that is rolled back leaves neither. `ends` is when the key ends
if it is held for a time, else 0.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from poolq.common.durations import MAX_MICROSECONDS
from poolq.engines.base import Check
from poolq.engines.reports import void_keys
from poolq.engines.sanitize import number, to_text
from poolq.engines.sql.location import IS_CLAIMED
from poolq.engines.sql.session import (
    BatchQuery,
    Query,
    QueryResult,
    Session,
    Transaction,
    in_chunks,
)
from poolq.errors import RightMissing
from poolq.jobs.unique import stored_key

#: Whether a key that is held for a time has not ended yet. No key is held for more than 100 years.
_LASTS = f"ends > {{now}} AND ends <= {{now}} + {MAX_MICROSECONDS}"
_IS_TAKEN = f"ends = 0 OR ({_LASTS})".replace("ends", "{unique_keys}.ends")
#: The key goes to the new job if no job has it, or if it was held for a time that is now over.
#: MySQL evaluates the assignments from left to right.
TAKE_KEY = f"""INSERT INTO {{unique_keys}} (name, id, ends)
    VALUES (?, ?, CASE WHEN ? > 0 THEN {{now}} + ? ELSE 0 END) {{on:name}}
    id = CASE WHEN {_IS_TAKEN} THEN {{unique_keys}}.id ELSE {{new:id}} END,
    ends = CASE WHEN {_IS_TAKEN} THEN {{unique_keys}}.ends ELSE {{new:ends}} END"""
SET_KEY = """UPDATE {unique_keys} SET id = ?, ends = CASE WHEN ? > 0 THEN {now} + ? ELSE 0 END
    WHERE name = ?"""
FREE_KEY = "DELETE FROM {unique_keys} WHERE name = ? AND id = ? AND ends = 0"
#: The job that has the key, if the job exists and either is running or has not expired.
LIVE_HOLDER = f"""(SELECT 1 FROM {{jobs}} j WHERE j.id = u.id
        AND (expires_at IS NULL OR expires_at > {{now}} OR {IS_CLAIMED}))"""
#: Who has a key, and whether the key is still held.
HOLDERS_NOW = f"""SELECT name, id, CASE WHEN ends = 0 THEN {LIVE_HOLDER} WHEN {_LASTS} THEN 1 END
    FROM {{unique_keys}} u WHERE name {{in_list}}"""
HOLDERS = HOLDERS_NOW + " {lock}"
HOLDER = f"SELECT id FROM {{unique_keys}} WHERE name = ? AND (ends = 0 OR ({_LASTS}))"
#: How many keys one transaction deletes after their time. This blocks SQLite's other writers.
MAX_DELETED = 2000
#: MariaDB cannot delete from a table that a subquery reads, unless it is derived.
DELETE_ENDED = f"""DELETE FROM {{unique_keys}} WHERE name IN (SELECT name FROM (SELECT name
    FROM {{unique_keys}} WHERE ends > 0 AND ends <= {{now}} ORDER BY ends LIMIT {MAX_DELETED}) old)
    AND ends + 0 > 0 AND ends + 0 <= {{now}}"""
#: Keys whose job is gone. Only a change by hand leaves such keys.
VOID_KEYS = """SELECT COUNT(*) FROM (SELECT u.name FROM {unique_keys} u WHERE u.ends = 0
    AND NOT EXISTS (SELECT 1 FROM {jobs} j WHERE j.id = u.id) LIMIT 1000) void"""


class Holder(NamedTuple):
    """The job that has a key. `is_void`: whether it is gone or has expired, so the key is free."""

    id: str
    is_void: bool


class Changes:
    """Which keys are freed or, because their jobs return to their queues, taken again."""

    def __init__(self) -> None:
        self._freed: list[tuple[str, str]] = []
        self._taken: list[tuple[str, str, int, int]] = []

    def start(self, stored: object, id_: str) -> None:
        unique = stored_key(stored)
        if unique is not None and unique.until == "start":
            self._freed.append((unique.key, id_))

    def finish(self, stored: object, id_: str) -> None:
        unique = stored_key(stored)
        if unique is not None and unique.until != "time":
            self._freed.append((unique.key, id_))

    def requeue(self, stored: object, id_: str) -> None:
        unique = stored_key(stored)
        if unique is not None and unique.until != "time":
            self._taken.append((unique.key, id_, 0, 0))

    def write(self, tx: Transaction) -> None:
        if self._freed:
            tx.at_end(BatchQuery(FREE_KEY, sorted(self._freed)))
        if self._taken:
            tx.at_end(BatchQuery(TAKE_KEY, sorted(self._taken)))


def holders_in(found: Iterable[QueryResult]) -> dict[str, Holder]:
    """Return the holder of each key, from the rows of HOLDERS."""
    return {
        to_text(name): Holder(to_text(id_), held is None)
        for one in found
        for name, id_, held in one.rows
    }


def holder_of(tx: Transaction, key: str) -> Holder | None:
    """Lock a key. Returns who has it, or None if nobody has it."""
    return holders_in(tx.run(Query(HOLDERS, ([key],)))).get(key)


def take_for_retry(tx: Transaction, stored: Mapping[str, object]) -> set[str]:
    """Take the keys of failed jobs again. Returns the ids of those that have to stay failed,
    because another job has their key."""
    jobs = {id_: stored_key(effects) for id_, effects in stored.items()}
    wanted: dict[str, str] = {}
    for id_, unique in jobs.items():
        if unique is not None and unique.until != "time":
            wanted.setdefault(unique.key, id_)
    if not wanted:
        return set()
    names = sorted(wanted)
    rows = [(name, wanted[name], 0, 0) for name in names]
    queries = [Query(HOLDERS, (some,)) for some in in_chunks(names)]
    _, *found = tx.run(BatchQuery(TAKE_KEY, rows), *queries)
    for name, holder in holders_in(found).items():
        if holder.id == wanted[name]:
            continue
        if holder.is_void:
            tx.later(Query(SET_KEY, (wanted[name], 0, 0, name)))
        else:
            del wanted[name]
    keepers = set(wanted.values())
    return {
        id_
        for id_, unique in jobs.items()
        if unique is not None and unique.until != "time" and id_ not in keepers
    }


def holder(session: Session, stored: object) -> str:
    """Return the id of the job that has the unique key of a job, or "" if none has it."""
    unique = stored_key(stored)
    if unique is None:
        return ""
    (found,) = session.read(Query(HOLDER, (unique.key,)))
    return to_text(found.rows[0][0]) if found.rows else ""


def sweep(session: Session) -> bool:
    """Delete some of the keys whose time is over. Returns whether there may be more."""
    return session.transact(lambda tx: tx.run(Query(DELETE_ENDED))[0].changed) >= MAX_DELETED


def checks(session: Session) -> list[Check]:
    """Return a line for `poolq doctor` if there are keys of jobs that are gone, or if this user may
    not look, which no producer of plain jobs needs to."""
    try:
        count = number(session.read(Query(VOID_KEYS))[0].rows[0][0])
    except RightMissing as error:
        return [Check("rights", "bad", str(error))]
    return [void_keys(count)] if count else []
