"""How many jobs are where, and what the limits are at.

Rows are counted up to the session's `counted`: to count a million of them every other second, as
a screen would have it, is work that nobody has asked for.
"""

from collections.abc import Sequence

from poolq.engines.base import LimitUse, QueueCounts
from poolq.engines.sql.places import CLAIMED, CLAIMED_END, PARKED, PARKED_END, word
from poolq.engines.sql.session import Op, Session
from poolq.engines.sql.windows import name_of
from poolq.limits import Rule, Window

SHOWN = 1000

QUEUES = "SELECT queue, paused FROM {queues} ORDER BY queue"
READY = "SELECT due FROM {jobs} WHERE place = '' AND queue = ? AND due <= {now}"
DELAYED = "SELECT due FROM {jobs} WHERE place = '' AND queue = ? AND due > {now}"
FAILED = "SELECT at FROM {failed} WHERE queue = ?"
COUNT = "SELECT COUNT(*) FROM (%s LIMIT {counted}) found"
OLDEST = f"SELECT {{now}} - oldest.due FROM ({READY} ORDER BY due LIMIT 1) oldest"
ELSEWHERE = """SELECT queue, COUNT(*) FROM (SELECT queue FROM {jobs}
    WHERE place >= ? AND place < ? LIMIT {counted}) found GROUP BY queue"""

OPEN = f"""SELECT name, span, most, start, used, ends - {{now}} FROM {{windows}}
    WHERE ends > {{now}} ORDER BY ends LIMIT {SHOWN}"""
LINES = f"""SELECT l.place, l.name, l.span, l.most, w.start
    FROM {{lines}} l LEFT JOIN {{windows}} w ON w.name = l.name AND w.span = l.span
    ORDER BY l.place, l.queue LIMIT {SHOWN}"""
IN_LINE = COUNT % "SELECT id FROM {jobs} WHERE place = ?"


def counts(session: Session) -> list[QueueCounts]:
    queues, running, parked = session.read(
        Op(QUEUES), Op(ELSEWHERE, (CLAIMED, CLAIMED_END)), Op(ELSEWHERE, (PARKED, PARKED_END))
    )
    runs = {word(queue): count for queue, count in running.rows}
    parks = {word(queue): count for queue, count in parked.rows}
    names = [word(queue) for queue, _ in queues.rows]
    found = _counted(
        session, [Op(sql, (queue,)) for sql in (READY, DELAYED, FAILED) for queue in names]
    )
    ready, delayed, failed = (found[at * len(names) : (at + 1) * len(names)] for at in range(3))
    oldest = session.read(*(Op(OLDEST, (queue,)) for queue in names))
    return sorted(
        QueueCounts(
            queue,
            ready[at],
            delayed[at],
            parks.get(queue, 0),
            runs.get(queue, 0),
            failed[at],
            oldest[at].rows[0][0] if ready[at] and oldest[at].rows else 0,
            bool(queues.rows[at][1]),
        )
        for at, queue in enumerate(names)
    )


def _counted(session: Session, asks: Sequence[Op]) -> list[int]:
    """How many rows each has: counted where that is quickly done, guessed where it is not."""
    found = session.read(*(Op(COUNT % ask.sql, ask.args) for ask in asks))
    numbers = [result.rows[0][0] for result in found]
    many = [at for at, number in enumerate(numbers) if number >= session.counted]
    for at, guess in zip(many, session.guess([asks[at] for at in many]), strict=True):
        numbers[at] = max(numbers[at], guess)
    return numbers


def limits(session: Session) -> list[LimitUse]:
    opened, lines = session.read(Op(OPEN), Op(LINES))
    uses = {}
    for name, span, most, start, used, left in opened.rows:
        rule = Rule(word(name), most, span)
        uses[name_of(rule)] = LimitUse(rule, Window(start, used), 0, max(0, left))
    places = {word(row[0]): row[1:] for row in lines.rows}
    parked = session.read(*(Op(IN_LINE, (place,)) for place in places))
    for (name, span, most, start), count in zip(places.values(), parked, strict=True):
        waiting = count.rows[0][0]
        if waiting:
            rule = Rule(word(name), most, span)
            window = Window(start or 0, 0)  # one that is over holds nothing back
            closed = LimitUse(rule, window, 0, 0)
            uses[name_of(rule)] = uses.get(name_of(rule), closed)._replace(parked=waiting)
    return sorted(uses.values())
