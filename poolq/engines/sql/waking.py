"""Queues, and the bell that each has: `armed` and `seen`.

A waiter is told of a queue that has something due when its bell is armed, or when something has
come due since the time of `seen`; in the same act, which one of several waiters succeeds in, the
bell is disarmed and `seen` moves on. Steps arm it again. So nobody has to write anything more
when a job is pushed, one job wakes one waiter, a job that was stored a little later than its due
time says is noticed at the latest after the next step, and nobody is told the same thing for ever.
"""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import NamedTuple

from poolq.engines.sql.places import word
from poolq.engines.sql.session import Op, Result, Session, Transaction

KNOW = "INSERT INTO {queues} (queue) VALUES (?) {on:queue} queue = {new:queue}"
ARM = "UPDATE {queues} SET armed = 1 WHERE armed = 0 AND queue IN {list}"
ARM_ALL = "UPDATE {queues} SET armed = 1 WHERE armed = 0"
PAUSE = "INSERT INTO {queues} (queue, paused) VALUES (?, 1) {on:queue} paused = 1"
RESUME = "UPDATE {queues} SET paused = 0, armed = 1 WHERE queue = ?"

SOME = " WHERE q.queue IN {list}"
# Ordered by all of the index: MySQL does not see that what equals the outer row's queue is one
# queue, and would read and sort all jobs of it.
SLOT = """(SELECT l.slot FROM {lines} l WHERE l.queue = q.queue ORDER BY l.queue, l.slot LIMIT 1)"""
DUE = """(SELECT j.due FROM {jobs} j WHERE j.place = '' AND j.queue = q.queue
    ORDER BY j.place, j.queue, j.due LIMIT 1)"""
LOOK = f"SELECT q.queue, q.paused, q.armed, q.seen, {{now}}, {SLOT}, {DUE} FROM {{queues}} q"
GLANCE = f"SELECT q.queue, q.paused, q.armed, q.seen, {{now}}, {SLOT}, NULL FROM {{queues}} q"
LATEST = """SELECT due FROM {jobs} WHERE place = '' AND queue = ? AND due <= {now}
    ORDER BY due DESC LIMIT 1"""
LATEST_SLOT = """SELECT slot FROM {lines} WHERE queue = ? AND slot <= {now}
    ORDER BY slot DESC LIMIT 1"""
NEXT = """SELECT due FROM {jobs} WHERE place = '' AND queue = ? AND due > {now}
    ORDER BY due LIMIT 1"""
TAKE = """UPDATE {queues} SET armed = 0, seen = CASE WHEN seen < ? THEN ? ELSE seen END
    WHERE queue = ? AND (armed = 1 OR seen < ?)"""


class Look(NamedTuple):
    """A queue as it stands: microseconds since the epoch; None where there is none."""

    queue: str
    paused: bool
    armed: bool
    seen: int
    now: int
    slot: int | None
    due: int | None

    @property
    def first(self) -> int | None:
        """When the first job or slot is, or was, due."""
        return min((at for at in (self.due, self.slot) if at is not None), default=None)

    @property
    def waits(self) -> bool:
        """Something is due, told already or not."""
        return not self.paused and self.first is not None and self.first <= self.now


def look(queues: Sequence[str] | None, sql: str = LOOK) -> Op:
    """Asks for what `looks` reads: each queue with its first line's slot and its first job's due
    time, two looks into an index."""
    return Op(sql) if queues is None else Op(sql + SOME, (list(queues),))


def glance(queues: Sequence[str] | None) -> Op:
    """As `look`, without the jobs' due times."""
    return look(queues, GLANCE)


def looks(found: Result) -> list[Look]:
    return [
        Look(word(queue), bool(paused), bool(armed), *times)
        for queue, paused, armed, *times in found.rows
    ]


def ring(tx: Transaction, queues: Iterable[str]) -> None:
    """Arm the bells of these queues."""
    if names := sorted(queues):
        tx.later(Op(ARM, (names,)))


def news(session: Session, found: Sequence[Look]) -> tuple[bool, int | None]:
    """Whether one of these queues has something to tell, which then is told; and when, in
    microseconds since the epoch, the next thing comes due by itself (None: nothing is known to).
    """
    nexts = []
    for one in found:
        if one.paused or one.first is None:
            continue
        if one.first > one.now:
            nexts.append(one.first)
            continue
        due, slot, later = session.read(
            Op(LATEST, (one.queue,)), Op(LATEST_SLOT, (one.queue,)), Op(NEXT, (one.queue,))
        )
        nexts += [at for (at,) in later.rows]
        latest = max((at for result in (due, slot) for (at,) in result.rows), default=None)
        if latest is None or not (one.armed or latest > one.seen):
            continue
        if session.transact(partial(_take, queue=one.queue, at=latest)):
            return True, None
    return False, min(nexts, default=None)


def _take(tx: Transaction, queue: str, at: int) -> bool:
    return tx.run(Op(TAKE, (at, at, queue, at)))[0].changed > 0
