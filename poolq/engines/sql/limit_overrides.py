"""Limits that people have set in place of those in the code, by (key, window).

Admissions read them together with the window, without locking them. Setting one first locks the
limit's lines, whose slots are computed from the limit. So a transaction that has read the old limit
has released the lines before, and the lines are tried again with the new one.
"""

from collections.abc import Sequence

from poolq.engines.sanitize import number, to_text
from poolq.engines.sql.location import line_of
from poolq.engines.sql.session import Query, Row, Transaction
from poolq.engines.sql.wakeups import arm
from poolq.jobs.limits import MAX_LIMIT, Rule

#: How many overrides are listed at most.
MAX_LISTED = 1000

TRY_LINES = "UPDATE {lines} SET slot = 0, since = {now} WHERE place IN {list}"
QUEUES_OF_LINES = "SELECT DISTINCT queue FROM {lines} WHERE place IN {list}"
SET_OVERRIDE = """INSERT INTO {overrides} (name, span, most) VALUES (?, ?, ?)
    {on:name, span} most = {new:most}"""
DELETE_OVERRIDE = "DELETE FROM {overrides} WHERE name = ? AND span = ?"
FORGET_STARTS = """UPDATE {windows} SET start = 0, used = 0, ends = 0, log = NULL
    WHERE name = ? AND span = ?"""
#: The override of a given (name, window); NULL if there is none.
OVERRIDE = "(SELECT o.most FROM {overrides} o WHERE o.name = ? AND o.span = ?)"
OVERRIDES = f"SELECT name, span, most FROM {{overrides}} ORDER BY name, span LIMIT {MAX_LISTED}"

Overrides = dict[tuple[str, int], int]


def set_override(tx: Transaction, key: str, window: int, limit: int) -> None:
    _try_lines(tx, key, window, Query(SET_OVERRIDE, (key, window, limit)))


def reset(tx: Transaction, key: str, window: int, starts: bool) -> bool:
    """Delete an override and, if asked, forget the starts that count now. Returns whether there was
    an override."""
    spans = (window, -window) if starts else ()
    forget = [Query(FORGET_STARTS, (key, span)) for span in spans]
    return _try_lines(tx, key, window, *forget, Query(DELETE_OVERRIDE, (key, window))) > 0


def _try_lines(tx: Transaction, key: str, window: int, *changes: Query) -> int:
    """Make changes of a limit, and let its lines be tried at once. Returns how many rows the last
    change has changed."""
    places = [line_of(Rule(key, 1, window, sliding=sliding)) for sliding in (False, True)]
    _, *changed = tx.run(Query(TRY_LINES, (places,)), *changes)
    queues = tx.run(Query(QUEUES_OF_LINES, (places,)))[0].rows
    arm(tx, {to_text(queue) for (queue,) in queues})
    return changed[-1].changed


def read_overrides(rows: Sequence[Row]) -> Overrides:
    """Read rows of OVERRIDES. Returns the limits by (key, window)."""
    found = {(to_text(name), number(span)): number(most) for name, span, most in rows}
    return {name: most for name, most in found.items() if 1 <= most <= MAX_LIMIT}
