"""Windows of rate limits. Each (key, span) has a row, which is locked while it is used.

Rows are always locked in the same order, which avoids deadlocks. The keepers delete the rows of
windows that ended long ago.

A row also contains when its key's hold ends, and the limit that a person has set. A transaction
that sets one of these writes it into the existing rows. A new row copies both from their tables.

The row of a sliding window (its span is negative) also has the starts that counted at its last
start; `start` and `used` sum them up, and `ends` is when the last of them no longer counts.
"""

from collections.abc import Mapping

import msgspec

from poolq.engines.sanitize import MAX_NUMBER, number, start_log
from poolq.engines.spans import GATE_SPAN, span_of
from poolq.engines.sql.location import GATE_LINE_PREFIX
from poolq.engines.sql.session import BatchQuery, Query, Row, Session
from poolq.jobs.limits import Listed, StartLog

WindowName = tuple[str, int]
#: The end and the name of a window.
Position = tuple[int, str | bytes]
FIRST_POSITION: Position = (-MAX_NUMBER, "")

#: For how many microseconds an ended window is kept, so that no window in use is deleted.
KEPT_MICROS = 60_000_000
#: How many windows one transaction deletes. This blocks SQLite's other writers for 5 ms.
MAX_DELETED = 2000

LOCK_WINDOW = """SELECT start, used, log, held, set_most FROM {windows}
    WHERE name = ? AND span = ? {lock}"""
SKIP_WINDOW = LOCK_WINDOW.replace("{lock}", "{skip}")
#: Makes or locks a row. FILL_WINDOW looks up what is set only then, and waits for what is
#: being set. Whoever sets something later waits for the row.
MAKE_WINDOW = """INSERT INTO {windows} (name, span, most, start, used, ends)
    VALUES (?, ?, ?, 0, 0, 0) {on:name, span} most = {new:most}"""
FILL_WINDOW = """UPDATE {windows} SET
    held = COALESCE((SELECT ends FROM {holds} WHERE name = ? {share}), 0),
    set_most = (SELECT most FROM {overrides} WHERE name = ? AND span = ? {share})
    WHERE name = ? AND span = ?"""
#: Leaves `ends` as it is, because SQLite would write its index entry again, on another page.
COUNT_STARTS = """UPDATE {windows} SET most = ?, used = ?, starts = starts + ?
    WHERE name = ? AND span = ?"""
SAVE_WINDOW = COUNT_STARTS.replace("WHERE", ", start = ?, ends = ?, log = ? WHERE")
#: A gate that still has rows of slots does not count as ended: these rows count its starts.
IS_ENDED = f"""ends < {{now}} - {KEPT_MICROS} AND (span <> {GATE_SPAN}
    OR (SELECT 1 FROM {{slots}} s WHERE s.name = {{windows}}.name LIMIT 1) IS NULL)"""
#: Some windows that ended long ago, after the one with this end and name, and whether each is kept.
#: A gate with lines is kept, because its limit may differ from the one that the lines contain.
ENDED_WINDOWS = f"""SELECT name, span, ends, CASE WHEN span = {GATE_SPAN}
        AND ((SELECT 1 FROM {{slots}} s WHERE s.name = {{windows}}.name LIMIT 1) = 1
        OR (SELECT 1 FROM {{lines}} l
            WHERE l.place = '{GATE_LINE_PREFIX}' || {{windows}}.name LIMIT 1) = 1)
        THEN 1 ELSE 0 END
    FROM {{windows}} WHERE ends >= ? AND ends < {{now}} - {KEPT_MICROS} AND (ends > ? OR name > ?)
    ORDER BY ends, {{ordering:name}} LIMIT {MAX_DELETED}"""
#: Does not look for lines, because these are locked before windows. A line that has just been
#: opened has the limit that was last named.
DELETE_WINDOW = f"DELETE FROM {{windows}} WHERE name = ? AND span = ? AND {IS_ENDED}"
SERVER_CLOCK = Query("SELECT {now}")


def window_name(rule: Listed) -> WindowName:
    return rule.key, span_of(rule)


def is_sliding(name: WindowName) -> bool:
    return name[1] < 0


def read_log(name: WindowName, row: Row) -> StartLog:
    """Return the starts in a window, from its row of LOCK_WINDOW."""
    if is_sliding(name):
        return start_log(row[2])
    start, used = number(row[0]), number(row[1])
    return ((start, used),) if used else ()


def make_queries(most: Mapping[WindowName, int]) -> list[BatchQuery]:
    """Return statements that make rows with these limits, in the order in which rows are locked."""
    names = sorted(most)
    made = [(*name, most[name]) for name in names]
    filled = [(key, key, abs(span), key, span) for key, span in names]
    return [BatchQuery(MAKE_WINDOW, made), BatchQuery(FILL_WINDOW, filled)]


def save_query(name: WindowName, most: int, log: StartLog, added: int, now: int) -> Query:
    """Return a statement that saves a window in which starts were taken at `now`. `added`: as how
    many starts these count."""
    start, used = log[0][0], sum([cost for _, cost in log])
    if is_sliding(name):
        stored = msgspec.json.encode(log)
        return Query(SAVE_WINDOW, (most, used, added, start, now - name[1], stored, *name))
    if start == now:
        return Query(SAVE_WINDOW, (most, used, added, start, start + name[1], None, *name))
    return Query(COUNT_STARTS, (most, used, added, *name))


def sweep(session: Session, after: Position) -> tuple[Position, bool]:
    """Delete windows that ended long ago, from a bounded number that follow this position.
    Returns where the next sweep goes on, and whether there may be more to delete."""
    end, name = after
    found = session.read(Query(ENDED_WINDOWS, (end, end, name)))[0].rows
    ended = sorted((name, span) for name, span, _, kept in found if not kept)
    if ended:
        session.transact(lambda tx: tx.later(BatchQuery(DELETE_WINDOW, ended)))
    full = len(found) >= MAX_DELETED
    return (number(found[-1][2]), found[-1][0]) if full else FIRST_POSITION, full and bool(ended)
