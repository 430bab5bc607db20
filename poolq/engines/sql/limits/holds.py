"""Holds: keys of limits under which no job starts. Each hold has a row, and ends by the clock.

A job that has held a key, but has no limit with this key, waits in the hold's own line. The line's
place is that of the `HeldKey`. A transaction that holds a key, or opens a line that waits for a
hold, locks the hold's row before the line, and keeps it locked until the transaction ends. So when
`lift` has deleted the row, it finds all lines that wait for the hold. The clock is read after a
hold's row is locked. Otherwise, a hold that somebody else has just set would seem to begin in the
future. Steps and admissions read holds without locking them.
"""

from collections.abc import Collection, Mapping, Sequence

from poolq.common.durations import MAX_MICROSECONDS
from poolq.engines.sanitize import number, to_text
from poolq.engines.spans import GATE_SPAN, HOLD_SPAN
from poolq.engines.sql.location import IS_PARKED, NO_DEPLOY, PARKED_PREFIX, is_gate_line
from poolq.engines.sql.session import BatchQuery, Query, Session, Transaction
from poolq.jobs.limits import Admission, Asked
from poolq.jobs.outcomes import HoldKey

#: KEPT_MICROS: for how long an ended hold is kept. MAX_DELETED: how many one transaction deletes.
KEPT_MICROS = 60_000_000
MAX_DELETED = 2000

#: A hold that begins in the future was made before the clock went back, and counts as over. So does
#: a hold that ends later than any hold of poolq can.
_IS_POSSIBLE = f"start <= {{now}} AND ends <= {{now}} + {MAX_MICROSECONDS}"
IS_HELD = f"{_IS_POSSIBLE} AND ends > {{now}}"
#: Locks the row. SET_HOLD, which is a separate statement, reads the clock after that.
LOCK_ROW = "INSERT INTO {holds} (name, start, ends) VALUES (?, 0, 0) {on:name} name = {new:name}"
#: MySQL assigns `ends` first, so `start` still has its old value there.
SET_HOLD = f"""UPDATE {{holds}} SET
    ends = CASE WHEN {_IS_POSSIBLE} AND ends > {{now}} + ? THEN ends ELSE {{now}} + ? END,
    start = {{now}} WHERE name = ?"""
#: Also finds a hold that is over by now. A start is recorded with the time that an earlier
#: statement has read, and `refusal` compares the end of the hold with that time.
HOLD_OF = f"SELECT ends FROM {{holds}} WHERE name = ? AND {_IS_POSSIBLE}"
#: Writes when a key's hold ends into the key's windows. Gates read holds themselves.
NOTE_HOLD = f"""UPDATE {{windows}}
    SET held = COALESCE((SELECT ends FROM {{holds}} WHERE name = ?), 0)
    WHERE name = ? AND span <> {GATE_SPAN}"""
HELD_UNTIL = f"SELECT ends FROM {{holds}} WHERE name = ? AND {IS_HELD}"
HOLD_LEFT = f"SELECT ends - {{now}} FROM {{holds}} WHERE name = ? AND {IS_HELD}"
#: When the hold of a key ends, as part of a statement that changes a line. Locks the hold.
LOCKED_HOLD_END = (
    f"COALESCE((SELECT ends FROM {{holds}} WHERE name = ? AND {IS_HELD} {{share}}), 0)"
)
OPEN_HOLD_LINE = f"""INSERT INTO {{lines}} (place, queue, slot, name, span, most, deploy, since)
    SELECT one.place, ?, {LOCKED_HOLD_END}, ?, {HOLD_SPAN}, 1, {NO_DEPLOY}, {{now}}
    FROM (SELECT ? AS place) one WHERE 1 = 1
    {{on:place, queue}} slot = {{new:slot}}, since = {{new:since}}"""
PARK_HOLDER = "UPDATE {jobs} SET place = ?, lasts = 0, rules = NULL WHERE id = ?"
LIFT = f"DELETE FROM {{holds}} WHERE name = ? AND {IS_HELD}"
LINES_OF_KEY = f"SELECT DISTINCT place FROM {{lines}} WHERE name = ? AND {IS_PARKED}"
TRY_LINES = "UPDATE {lines} SET slot = {now}, since = {now} WHERE place {in_list}"
#: MariaDB and MySQL 5.7 cannot delete from a table that a subquery reads, unless it is derived.
DELETE_HOLDS = f"""DELETE FROM {{holds}} WHERE name IN (SELECT name FROM
    (SELECT name FROM {{holds}} WHERE ends < {{now}} - {KEPT_MICROS} LIMIT {MAX_DELETED}) ended)"""


def is_hold_line(place: str) -> bool:
    return place.startswith(f"{PARKED_PREFIX}{HOLD_SPAN}:")


def set_holds(tx: Transaction, lengths: Mapping[str, int]) -> Collection[str]:
    """Hold keys for at least these lengths, in microseconds. A length of 0 changes nothing. Returns
    the keys of the others."""
    rows = [(length, length, key) for key, length in sorted(lengths.items()) if length > 0]
    keys = [key for *_, key in rows]
    if rows:
        tx.shut("holds")
        tx.later(BatchQuery(LOCK_ROW, [(key,) for key in keys]), BatchQuery(SET_HOLD, rows))
    return keys


def note_holds(tx: Transaction, keys: Collection[str]) -> None:
    """Write the holds that this transaction has changed into the windows of their keys. All lines
    that the transaction must lock are locked by now."""
    tx.later(BatchQuery(NOTE_HOLD, [(key, key) for key in keys]))
    tx.has_windows = True


def hold_keys(tx: Transaction, holders: Sequence[HoldKey]) -> Collection[str]:
    """Hold keys. Returns those whose holds have changed: a job may only wait for a hold."""
    lengths: dict[str, int] = {}
    for one in holders:
        lengths[one.key] = max(one.length, lengths.get(one.key, 0))
    return set_holds(tx, lengths)


def refusal(rules: Sequence[Asked], holds: Mapping[str, int], now: int) -> Admission | None:
    """Return the refusal of a job with these rules, or None if none of their keys is held. If
    several are held, the refusal names the last to end. `holds`: when the holds end, by key."""
    ends = [holds.get(rule.key, 0) for rule in rules]
    until = max(ends, default=0)
    return (
        Admission(until - now, ends.index(until), until=until, held=True) if until > now else None
    )


def hold(tx: Transaction, key: str, length: int) -> int:
    """Hold a key. Returns for how many microseconds it is held."""
    note_holds(tx, set_holds(tx, {key: length}))
    row = tx.one(HOLD_LEFT, key)  # some microseconds after the hold began
    return max(length, number(row[0])) if row else 0


def lift(tx: Transaction, key: str) -> bool:
    """End the hold of a key, and try its lines at once. Returns whether the key was held."""
    tx.shut("holds")  # before lines are locked, as by all others
    if not tx.run(Query(LIFT, (key,)))[0].changed:
        return False
    found = tx.run(Query(LINES_OF_KEY, (key,)))[0].rows
    places = sorted(place for (one,) in found if not is_gate_line(place := to_text(one)))
    if places:
        tx.later(Query(TRY_LINES, (places,)))
    note_holds(tx, [key])
    return True


def sweep(session: Session) -> bool:
    """Delete holds that ended long ago. Returns whether there may be more."""
    delete = Query(DELETE_HOLDS)
    return session.transact(lambda tx: tx.run(delete)[0].changed) >= MAX_DELETED
