"""Windows of rate limits. Each (key, window) has a row, which is locked while it is used.

Rows are always locked in the same order, which avoids deadlocks. The keepers delete the rows of
windows that ended long ago.
"""

from collections.abc import Iterable, Mapping, Sequence

from poolq.engines.sanitize import number
from poolq.engines.sql.session import BatchQuery, Query, Session, Transaction
from poolq.jobs.limits import Admission, Rule, Window, take

WindowName = tuple[str, int]

#: For how many microseconds an ended window is kept, so that no window in use is deleted.
KEPT_MICROS = 60_000_000
#: How many windows one transaction deletes. This blocks SQLite's other writers for 5 ms.
MAX_DELETED = 2000

LOCK_WINDOW = "SELECT start, used FROM {windows} WHERE name = ? AND span = ? {lock}"
MAKE_WINDOW = """INSERT INTO {windows} (name, span, most, start, used, ends)
    VALUES (?, ?, ?, 0, 0, 0) {on:name, span} most = {new:most}"""
SAVE_WINDOW = """UPDATE {windows} SET most = ?, start = ?, used = ?, ends = ?, starts = starts + ?
    WHERE name = ? AND span = ?"""
ENDED_WINDOWS = f"ends < {{now}} - {KEPT_MICROS} ORDER BY ends LIMIT {MAX_DELETED}"
DELETE_WINDOWS = f"DELETE FROM {{windows}} WHERE {ENDED_WINDOWS}"
#: For servers whose DELETE has no LIMIT.
DELETE_WINDOWS_BY_NAME = f"""DELETE FROM {{windows}} WHERE (name, span) IN
    (SELECT name, span FROM {{windows}} WHERE {ENDED_WINDOWS})"""
SERVER_CLOCK = Query("SELECT {now}")


def window_name(rule: Rule) -> WindowName:
    return rule.key, rule.window


class LockedWindows(dict[WindowName, Window]):
    """The windows of some rules, locked until the transaction ends; `now`: the server's time."""

    def __init__(self, most: Mapping[WindowName, int], now: int) -> None:
        super().__init__()
        self.most = most
        self.now = now

    def admit(self, rules: Sequence[Rule]) -> Admission:
        """Take one start of each rule, or none at all. If several rules refuse, the answer names
        the one that refuses for longest. Rules that share a window count a start once."""
        taken: dict[WindowName, Window] = {}
        refused = Admission(0)
        for at, rule in enumerate(rules):
            taken[window_name(rule)], wait = take(rule, self.get(window_name(rule)), self.now)
            if wait > refused.wait:
                refused = Admission(wait, at, until=self.now + wait)
        if not refused.wait:
            self.update(taken)
        return refused


def lock_windows(
    tx: Transaction, rules: Iterable[Rule], clock: Query = SERVER_CLOCK
) -> LockedWindows | None:
    """Add the missing rows of the rules' windows, then lock and read them. `clock`: a query for the
    time, which runs once the windows are locked. Returns None if `clock` finds no row."""
    most = {window_name(rule): rule.limit for rule in rules}
    names = sorted(most)
    queries = [*(Query(LOCK_WINDOW, name) for name in names), clock]
    *found, clock_row = tx.run(*queries)
    if not all(result.rows for result in found):
        tx.later(BatchQuery(MAKE_WINDOW, [(*name, most[name]) for name in names]))
        *found, clock_row = tx.run(*queries)
    if not clock_row.rows:
        return None
    counters = LockedWindows(most, clock_row.rows[0][0])
    for name, result in zip(names, found, strict=True):
        start, used = map(number, result.rows[0])
        if used:
            counters[name] = Window(start, used)
    return counters


def save_windows(
    tx: Transaction, counters: LockedWindows, before: Mapping[WindowName, Window]
) -> None:
    """Save the windows that differ from `before`."""
    rows = []
    for name, window in counters.items():
        old = before.get(name)
        if window != old:
            new = window.used - (old.used if old and old.start == window.start else 0)
            end = window.start + name[1]
            rows.append((counters.most[name], window.start, window.used, end, new, *name))
    if rows:
        tx.later(BatchQuery(SAVE_WINDOW, rows))


def admit(tx: Transaction, rules: Sequence[Rule], clock: Query = SERVER_CLOCK) -> Admission | None:
    """Take one start of each rule, or none at all. Returns None if `clock` finds no row."""
    counters = lock_windows(tx, rules, clock)
    if counters is None:
        return None
    before = dict(counters)
    admission = counters.admit(rules)
    save_windows(tx, counters, before)
    return admission


def sweep(session: Session) -> bool:
    """Delete some of the windows that ended first. Returns whether there may be more."""
    forget = Query(DELETE_WINDOWS if session.limits_deletes else DELETE_WINDOWS_BY_NAME)
    return session.transact(lambda tx: tx.run(forget)[0].changed) >= MAX_DELETED
