"""Rate limits' counters: a row for each (key, window), locked while it is looked at.

Rows are locked in one order, whoever asks, so that two who want the same two cannot hold one each.
The keepers delete the rows of windows that ended long ago.
"""

from collections.abc import Iterable, Mapping, Sequence

from poolq.engines.sanitize import number
from poolq.engines.sql.session import BatchQuery, Query, Session, Transaction
from poolq.jobs.limits import Admission, Rule, Window, take

WindowName = tuple[str, int]

#: Windows that ended so long ago are forgotten; long enough that nobody is about to use them.
KEPT_MICROS = 60_000_000
#: How many of them one transaction forgets: on SQLite nobody else writes for these 5 ms.
MAX_DELETED = 2000

LOCK_WINDOW = "SELECT start, used FROM {windows} WHERE name = ? AND span = ? {lock}"
MAKE_WINDOW = """INSERT INTO {windows} (name, span, most, start, used, ends)
    VALUES (?, ?, ?, 0, 0, 0) {on:name, span} most = {new:most}"""
SERVER_TIME = "SELECT {now}"
SAVE_WINDOW = """UPDATE {windows} SET most = ?, start = ?, used = ?, ends = ?, starts = starts + ?
    WHERE name = ? AND span = ?"""
ENDED_WINDOWS = f"ends < {{now}} - {KEPT_MICROS} ORDER BY ends LIMIT {MAX_DELETED}"
DELETE_WINDOWS = f"DELETE FROM {{windows}} WHERE {ENDED_WINDOWS}"
#: For servers whose DELETE has no LIMIT.
DELETE_WINDOWS_BY_NAME = f"""DELETE FROM {{windows}} WHERE (name, span) IN
    (SELECT name, span FROM {{windows}} WHERE {ENDED_WINDOWS})"""


SERVER_CLOCK = Query(SERVER_TIME)


def window_name(rule: Rule) -> WindowName:
    return rule.key, rule.window


class LockedWindows(dict[WindowName, Window]):
    """The counters that some rules need, locked until the transaction's end, at `now`."""

    def __init__(self, most: Mapping[WindowName, int], now: int) -> None:
        super().__init__()
        self.most = most
        self.now = now

    def admit(self, rules: Sequence[Rule]) -> Admission:
        """One start of each, or of none. Of several that refuse, the one that does so longest
        is named. Rules of one counter count a start once."""
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
    """Lock the counters of these rules (making those that there are not) and read them.

    `clock` is read after that: it tells the time in a row that must be there; else None.
    """
    most = {window_name(rule): rule.limit for rule in rules}
    names = sorted(most)
    asks = [*(Query(LOCK_WINDOW, name) for name in names), clock]
    *found, told = tx.run(*asks)
    if not all(result.rows for result in found):
        tx.later(BatchQuery(MAKE_WINDOW, [(*name, most[name]) for name in names]))
        *found, told = tx.run(*asks)
    if not told.rows:
        return None
    counters = LockedWindows(most, told.rows[0][0])
    for name, result in zip(names, found, strict=True):
        start, used = map(number, result.rows[0])
        if used:
            counters[name] = Window(start, used)
    return counters


def save_windows(
    tx: Transaction, counters: LockedWindows, before: Mapping[WindowName, Window]
) -> None:
    """Write down what has changed."""
    rows = [
        (
            *(counters.most[name], window.start, window.used, window.start + name[1]),
            *(_new_starts(window, before.get(name)), *name),
        )
        for name, window in counters.items()
        if window != before.get(name)
    ]
    if rows:
        tx.later(BatchQuery(SAVE_WINDOW, rows))


def _new_starts(window: Window, before: Window | None) -> int:
    """Starts that were counted since."""
    same = before is not None and before.start == window.start
    return window.used - before.used if same and before else window.used


def admit(tx: Transaction, rules: Sequence[Rule], clock: Query = SERVER_CLOCK) -> Admission | None:
    """Take one start of each rule, or of none of them; None: `clock` has no row, see
    `lock_windows`."""
    counters = lock_windows(tx, rules, clock)
    if counters is None:
        return None
    before = dict(counters)
    admission = counters.admit(rules)
    save_windows(tx, counters, before)
    return admission


def sweep(session: Session) -> bool:
    """Forget the windows that ended first, at most SWEPT of them; True: there may be more."""
    forget = Query(DELETE_WINDOWS if session.limits_deletes else DELETE_WINDOWS_BY_NAME)
    return session.transact(lambda tx: tx.run(forget)[0].changed) >= MAX_DELETED
