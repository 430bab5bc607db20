"""How many jobs are where, and what the limits are at."""

from poolq.engines.base import LimitUse, QueueCounts
from poolq.engines.sql.places import CLAIMED, CLAIMED_END, PARKED, PARKED_END, word
from poolq.engines.sql.session import Op, Session
from poolq.engines.sql.windows import name_of
from poolq.limits import Rule, Window

#: A queue's jobs are counted up to here; more are told as so many. It takes some 30 ms.
COUNTED = 100_000
SHOWN = 1000

QUEUES = "SELECT queue, paused FROM {queues} ORDER BY queue"
WAITING = f"""SELECT COUNT(*), MIN(due), {{now}} FROM (SELECT due FROM {{jobs}}
    WHERE place = '' AND queue = ? AND due <= {{now}} ORDER BY due LIMIT {COUNTED}) found"""
DELAYED = f"""SELECT COUNT(*) FROM (SELECT due FROM {{jobs}}
    WHERE place = '' AND queue = ? AND due > {{now}} ORDER BY due LIMIT {COUNTED}) found"""
FAILED = f"""SELECT COUNT(*) FROM (SELECT at FROM {{failed}}
    WHERE queue = ? LIMIT {COUNTED}) found"""
ELSEWHERE = f"""SELECT queue, COUNT(*) FROM (SELECT queue FROM {{jobs}}
    WHERE place >= ? AND place < ? LIMIT {COUNTED}) found GROUP BY queue"""

OPEN = f"""SELECT name, span, most, start, used, ends - {{now}} FROM {{windows}}
    WHERE ends > {{now}} ORDER BY ends LIMIT {SHOWN}"""
LINES = f"""SELECT l.place, l.name, l.span, l.most, w.start
    FROM {{lines}} l LEFT JOIN {{windows}} w ON w.name = l.name AND w.span = l.span
    ORDER BY l.place, l.queue LIMIT {SHOWN}"""
IN_LINE = f"""SELECT COUNT(*) FROM
    (SELECT id FROM {{jobs}} WHERE place = ? LIMIT {COUNTED}) found"""


def counts(session: Session) -> list[QueueCounts]:
    queues, running, parked = session.read(
        Op(QUEUES), Op(ELSEWHERE, (CLAIMED, CLAIMED_END)), Op(ELSEWHERE, (PARKED, PARKED_END))
    )
    names = [word(queue) for queue, _ in queues.rows]
    found = session.read(
        *(Op(sql, (queue,)) for queue in names for sql in (WAITING, DELAYED, FAILED))
    )
    runs = {word(queue): count for queue, count in running.rows}
    parks = {word(queue): count for queue, count in parked.rows}
    told = []
    for at, (queue, (_, paused)) in enumerate(zip(names, queues.rows, strict=True)):
        ((ready, oldest, now),), ((delayed,),), ((failed,),) = (
            result.rows for result in found[3 * at : 3 * at + 3]
        )
        told.append(
            QueueCounts(
                queue,
                ready,
                delayed,
                parks.get(queue, 0),
                runs.get(queue, 0),
                failed,
                now - oldest if ready else 0,
                bool(paused),
            )
        )
    return sorted(told)


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
