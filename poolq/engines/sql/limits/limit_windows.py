"""Windows of rate limits. Each (key, span) has a row, which is locked while it is used.

Rows are always locked in the same order, which avoids deadlocks. The keepers delete the rows of
windows that ended long ago.

If `plain` is 1, nothing but the rule and the row decides about a start. Otherwise an admission also
looks for a hold and for a limit that a person has set, and if it finds neither, it sets `plain`. It
locks what it looks for. So if another transaction has just stored such a row, but has found no row
of the window in which to reset `plain`, the admission waits for it.

The row of a sliding window (its span is negative) also has the starts that counted at its last
start; `start` and `used` sum them up, and `ends` is when the last of them no longer counts.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

import msgspec

from poolq.engines.sanitize import MAX_NUMBER, number, start_log
from poolq.engines.spans import GATE_SPAN, span_of
from poolq.engines.sql.limits.holds import LOCK_HOLD, holds_query, read_holds, refusal
from poolq.engines.sql.location import GATE_LINE_PREFIX
from poolq.engines.sql.session import BatchQuery, Query, QueryResult, Row, Session, Transaction
from poolq.jobs.limits import (
    ADMITTED,
    MAX_LIMIT,
    Admission,
    Listed,
    Rule,
    StartLog,
    take,
)

WindowName = tuple[str, int]
#: The end and the name of a window.
Position = tuple[int, str | bytes]
FIRST_POSITION: Position = (-MAX_NUMBER, "")

#: For how many microseconds an ended window is kept, so that no window in use is deleted.
KEPT_MICROS = 60_000_000
#: How many windows one transaction deletes. This blocks SQLite's other writers for 5 ms.
MAX_DELETED = 2000

LOCK_WINDOW = "SELECT start, used, plain, log FROM {windows} WHERE name = ? AND span = ? {lock}"
LOCK_OVERRIDE = "SELECT most FROM {overrides} WHERE name = ? AND span = ? {lock}"
MARK_PLAIN = "UPDATE {windows} SET plain = 1 WHERE name = ? AND span = ?"
MAKE_WINDOW = """INSERT INTO {windows} (name, span, most, start, used, ends)
    VALUES (?, ?, ?, 0, 0, 0) {on:name, span} most = {new:most}"""
SAVE_WINDOW = """UPDATE {windows} SET most = ?, start = ?, used = ?, ends = ?, starts = starts + ?,
    log = ? WHERE name = ? AND span = ?"""
#: But not a gate that still has rows of slots, with which it counts its starts, or whose limit may
#: differ from what the lines of its queues say.
IS_ENDED = f"""ends < {{now}} - {KEPT_MICROS} AND NOT (span = {GATE_SPAN} AND EXISTS
    (SELECT 1 FROM {{slots}} s WHERE s.name = {{windows}}.name))"""
#: Some windows that ended long ago, after the one with this end and name, and whether each is kept.
ENDED_WINDOWS = f"""SELECT name, span, ends, CASE WHEN span = {GATE_SPAN}
        AND (EXISTS (SELECT 1 FROM {{slots}} s WHERE s.name = {{windows}}.name)
        OR EXISTS (SELECT 1 FROM {{lines}} l
            WHERE l.place = '{GATE_LINE_PREFIX}' || {{windows}}.name))
        THEN 1 ELSE 0 END
    FROM {{windows}} WHERE ends >= ? AND ends < {{now}} - {KEPT_MICROS} AND (ends > ? OR name > ?)
    ORDER BY ends, name, span LIMIT {MAX_DELETED}"""
#: Does not look for lines, which are locked before windows. One that has just been opened has the
#: limit that was last named.
DELETE_WINDOW = f"DELETE FROM {{windows}} WHERE name = ? AND span = ? AND {IS_ENDED}"
SERVER_CLOCK = Query("SELECT {now}")


def window_name(rule: Listed) -> WindowName:
    return rule.key, span_of(rule)


def is_sliding(name: WindowName) -> bool:
    return name[1] < 0


def fixed_log(row: Row) -> StartLog:
    """Return the starts in a fixed window, from a row of LOCK_WINDOW."""
    start, used = number(row[0]), number(row[1])
    return ((start, used),) if used else ()


class LockedWindows(dict[WindowName, StartLog]):
    """The starts in the windows of some rules, which are locked until the transaction ends; `now`:
    the server's time. `overrides`: the limits that people have set for them; `added`: as how many
    starts those taken count. `holds`: when the holds of the rules' keys end. `unsure`: those
    that are not `plain`."""

    def __init__(self, most: Mapping[WindowName, int], now: int) -> None:
        super().__init__()
        self.most = most
        self.now = now
        self.holds: dict[str, int] = {}
        self.unsure: list[WindowName] = []
        self.overrides: dict[WindowName, int] = {}
        self.added = Counter[WindowName]()

    def add(self, name: WindowName, row: Row) -> None:
        """Add a row of LOCK_WINDOW."""
        if row[2] != 1:
            self.unsure.append(name)
        self[name] = start_log(row[3]) if is_sliding(name) else fixed_log(row)

    def overridden(self, rule: Rule) -> Rule:
        """Return the rule with the limit that a person has set in place of its own, if any."""
        return rule.overridden(self.overrides.get(window_name(rule)))

    def admit(self, rules: Sequence[Rule]) -> Admission:
        """Take one start of each rule, or none at all. If several rules refuse, the answer names
        the one that refuses for longest. Rules that share a window count a start once."""
        taken: dict[WindowName, StartLog] = {}
        refused = Admission(0)
        rules = list(map(self.overridden, rules)) if self.overrides else rules
        for at, rule in enumerate(rules):
            name = window_name(rule)
            taken[name], wait = take(rule, self.get(name, ()), self.now)
            if wait > refused.wait:
                refused = Admission(wait, at, until=self.now + wait, limit=rule.limit)
        if not refused.wait:
            self.update(taken)
            self.added.update({window_name(rule): rule.counted for rule in rules})
        return refused

    def slot_ends(self, rule: Rule) -> int:
        """Return until when a job that was given a start may use it, if it is given back unstarted.
        In a sliding window it asks again, as its start counts from the time when it was taken."""
        return self.now + 1 if rule.sliding else self[window_name(rule)][0][0] + rule.window


def lock_windows(
    tx: Transaction,
    rules: Collection[Rule],
    clock: Query = SERVER_CLOCK,
    keys: Sequence[str] = (),
    found: Sequence[QueryResult] = (),
) -> LockedWindows | None:
    """Add the missing rows of the rules' windows, then lock and read them. `clock`: a query for the
    time, which runs once the windows are locked. `keys`: read the holds of these keys, too.
    `found`: what the queries for the windows and `clock` have found, if they have run already.
    Returns None if `clock` finds no row."""
    most = {window_name(rule): rule.limit for rule in rules}
    names = sorted(most)
    queries = [Query(LOCK_WINDOW, name) for name in names]
    others = [clock, holds_query(keys)] if keys else [clock]
    found = found or tx.run(*queries, *others)
    if not all(result.rows for result in found[: len(names)]):
        tx.later(BatchQuery(MAKE_WINDOW, [(*name, most[name]) for name in names]))
        found = tx.run(*queries, *others)
    clock_row = found[len(names)].rows
    if not clock_row:
        return None
    counters = LockedWindows(most, clock_row[0][0])
    for name, result in zip(names, found, strict=False):
        counters.add(name, result.rows[0])
    if keys:
        counters.holds = read_holds(found[-1])
    if counters.unsure:
        _look(tx, counters)
    return counters


def _look(tx: Transaction, counters: LockedWindows) -> None:
    """Read what there may be for windows that are not `plain`, and mark those that are."""
    names = counters.unsure
    keys = sorted({key for key, _ in names})
    found = tx.run(
        *(Query(LOCK_HOLD, (key,)) for key in keys),
        *(Query(LOCK_OVERRIDE, (key, abs(span))) for key, span in names),
    )
    for held in found[: len(keys)]:
        counters.holds |= read_holds(held)
    for name, set_ in zip(names, found[len(keys) :], strict=True):
        most = number(set_.rows[0][0]) if set_.rows else 0
        if 1 <= most <= MAX_LIMIT:
            counters.overrides[name] = most
        if not set_.rows and name[0] not in counters.holds:
            tx.later(Query(MARK_PLAIN, name))


def save_windows(tx: Transaction, counters: LockedWindows) -> None:
    """Save the windows in which a start was taken."""
    rows = []
    for name, count in counters.added.items():
        log = counters[name]
        start, used = log[0][0], sum(cost for _, cost in log)
        stored, end = None, start + name[1]
        if is_sliding(name):
            stored, end = msgspec.json.encode(log), counters.now - name[1]
        rows.append((counters.most[name], start, used, end, count, stored, *name))
    if rows:
        tx.later(BatchQuery(SAVE_WINDOW, rows))


def admit(tx: Transaction, rules: Sequence[Rule], clock: Query = SERVER_CLOCK) -> Admission | None:
    """Take one start of each rule, or none at all. Returns None if `clock` finds no row. A hold
    comes before all windows, because a job that it refuses uses no attempt."""
    found: Sequence[QueryResult] = ()
    if len(rules) == 1 and not rules[0].sliding:
        rule = rules[0]
        found = tx.run(Query(LOCK_WINDOW, (rule.key, rule.window)), clock)
        rows, clock_rows = found[0].rows, found[1].rows
        if rows and rows[0][2] == 1 and clock_rows:
            return _start_plain(tx, rule, rows[0], clock_rows[0][0])
    counters = lock_windows(tx, rules, clock, found=found)
    if counters is None:
        return None
    if counters.holds and (held := refusal(rules, counters.holds, counters.now)):
        return held
    admission = counters.admit(rules)
    save_windows(tx, counters)
    return admission


def _start_plain(tx: Transaction, rule: Rule, row: Row, now: int) -> Admission:
    """Take a start of a fixed window whose row is `plain`. Nearly every admission is this, so it
    leaves out what others need."""
    ((start, used), *_), wait = take(rule, fixed_log(row), now)
    if wait:
        return Admission(wait, 0, until=now + wait, limit=rule.limit)
    key, most, length, *_ = rule
    new = (most, start, used, start + length, rule.counted, None, key, length)
    tx.later(BatchQuery(SAVE_WINDOW, [new]))
    return ADMITTED


def sweep(session: Session, after: Position) -> tuple[Position, bool]:
    """Delete some windows that ended long ago, of a bounded number that follow this position.
    Returns where the next sweep goes on, and whether there may be more to delete."""
    end, name = after
    found = session.read(Query(ENDED_WINDOWS, (end, end, name)))[0].rows
    ended = sorted((name, span) for name, span, _, kept in found if not kept)
    if ended:
        session.transact(lambda tx: tx.later(BatchQuery(DELETE_WINDOW, ended)))
    full = len(found) >= MAX_DELETED
    return (number(found[-1][2]), found[-1][0]) if full else FIRST_POSITION, full and bool(ended)
