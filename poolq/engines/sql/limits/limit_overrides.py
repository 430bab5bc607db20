"""Limits that people have set in place of those in the code, by (key, window).

The rows of windows contain them, too, for admissions. A change first locks the limit's lines,
because their slots are computed from the limit. So transactions that have computed slots from the
old limit have ended by then, and the lines are tried with the new limit. Only a job that opens a
line at this moment may have read the old limit, so the lines are tried once more afterwards.
"""

from collections.abc import Sequence

from poolq.engines.sanitize import number, to_text
from poolq.engines.sql.location import line_of
from poolq.engines.sql.queues.wakeups import wake
from poolq.engines.sql.session import Query, Row, Session, Transaction
from poolq.jobs.limits import MAX_LIMIT, Rule

#: How many overrides are listed at most.
MAX_LISTED = 1000

TRY_LINES = "UPDATE {lines} SET slot = 0, since = {now} WHERE place {in_list}"
QUEUES_OF_LINES = "SELECT DISTINCT queue FROM {lines} WHERE place {in_list}"
SET_OVERRIDE = """INSERT INTO {overrides} (name, span, most) VALUES (?, ?, ?)
    {on:name, span} most = {new:most}"""
#: Copies the limit that is set now (NULL: none) to the rows of the windows.
NOTE_OVERRIDE = """UPDATE {windows} SET set_most =
        (SELECT most FROM {overrides} WHERE name = ? AND span = ?)
    WHERE name = ? AND span {in_list}"""
DELETE_OVERRIDE = "DELETE FROM {overrides} WHERE name = ? AND span = ?"
FORGET_STARTS = """UPDATE {windows} SET start = 0, used = 0, ends = 0, log = NULL
    WHERE name = ? AND span = ?"""
OVERRIDES = f"SELECT name, span, most FROM {{overrides}} ORDER BY name, span LIMIT {MAX_LISTED}"

Overrides = dict[tuple[str, int], int]


def set_override(session: Session, key: str, window: int, limit: int) -> None:
    _change(session, key, window, Query(SET_OVERRIDE, (key, window, limit)))


def reset(session: Session, key: str, window: int, starts: bool) -> bool:
    """Delete an override and, if `starts`, forget the starts that count now. Returns whether there
    was an override."""
    spans = (-window, window) if starts else ()
    forget = [Query(FORGET_STARTS, (key, span)) for span in spans]
    return _change(session, key, window, *forget, Query(DELETE_OVERRIDE, (key, window))) > 0


def _change(session: Session, key: str, window: int, *changes: Query) -> int:
    """Change a limit and let its lines be tried. Returns how many rows the last change changed."""
    places = [line_of(Rule(key, 1, window, sliding=slides)) for slides in (False, True)]

    def work(tx: Transaction) -> int:
        tx.later(Query(TRY_LINES, (places,)))  # first, as a step locks its lines
        tx.shut("overrides")
        changed = tx.run(*changes)
        tx.later(Query(NOTE_OVERRIDE, (key, window, key, [window, -window])))
        return changed[-1].changed

    def try_again(tx: Transaction) -> None:
        queues = tx.run(Query(TRY_LINES, (places,)), Query(QUEUES_OF_LINES, (places,)))[1].rows
        wake(tx, {to_text(queue) for (queue,) in queues})

    count = session.transact(work)
    session.transact(try_again)
    return count


def read_overrides(rows: Sequence[Row]) -> Overrides:
    """Read rows of OVERRIDES. Returns the limits by (key, window)."""
    found = {(to_text(name), number(span)): number(most) for name, span, most in rows}
    return {name: most for name, most in found.items() if 1 <= most <= MAX_LIMIT}
