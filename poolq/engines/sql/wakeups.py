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

from poolq.engines.sanitize import number, optional_number, to_text
from poolq.engines.sql.session import Query, QueryResult, Session, Transaction

ADD_QUEUE = "INSERT INTO {queues} (queue, used) VALUES (?, {now}) {on:queue} queue = {new:queue}"
ARM = "UPDATE {queues} SET armed = 1 WHERE armed = 0 AND queue IN {list}"
#: Only a review arms it so: a mark that is there must not be told again after each step.
ARM_MARKED = """UPDATE {queues} SET armed = 2
    WHERE queue IN (SELECT l.queue FROM {lines} l WHERE l.review > 0)"""
PAUSE_QUEUE = """INSERT INTO {queues} (queue, paused, used) VALUES (?, 1, {now})
    {on:queue} paused = 1"""
RESUME_QUEUE = "UPDATE {queues} SET paused = 0, armed = 1 WHERE queue = ?"

IN_LIST = " WHERE q.queue IN {list}"
# Ordered by all of the index: MySQL does not see that what equals the outer row's queue is one
# queue, and would read and sort all jobs of it.
FIRST_SLOT = """(SELECT l.slot FROM {lines} l WHERE l.queue = q.queue
    ORDER BY l.queue, l.slot LIMIT 1)"""
FIRST_MARK = """(SELECT l.review FROM {lines} l {line:review}
    WHERE l.review > 0 AND l.queue = q.queue ORDER BY l.review LIMIT 1)"""
FIRST_READY = """(SELECT j.due_at FROM {jobs} j WHERE j.place = '' AND j.queue = q.queue
    ORDER BY j.place, j.queue, j.due_at LIMIT 1)"""
FIRST_DELAYED = FIRST_READY.replace("j.place = ''", "j.place = 'd'")
#: Lines whose slot was worked out before the clock went back.
HAS_VOID_SLOT = "EXISTS (SELECT 1 FROM {lines} l {line:since} WHERE l.since > {now} AND l.slot > 0)"
BRIEF_STATE = f"""SELECT q.queue, q.paused, q.armed, q.seen, {{now}},
    {FIRST_SLOT}, {FIRST_MARK}, {FIRST_DELAYED}, NULL, 0 FROM {{queues}} q"""
FULL_STATE = BRIEF_STATE.replace("NULL, 0", f"{FIRST_READY}, {HAS_VOID_SLOT}")
#: Of so many ready jobs a waiter is told at most: as many workers may be woken at once.
MAX_WAKEUPS = 64
COUNT_WAKEUPS = f"""SELECT COUNT(*) FROM (SELECT id FROM {{jobs}} WHERE place = '' AND queue = ?
    LIMIT {MAX_WAKEUPS}) found"""
LATEST_READY = """SELECT due_at FROM {jobs} WHERE place = '' AND queue = ? AND due_at <= {now}
    ORDER BY due_at DESC LIMIT 1"""
LATEST_DELAYED = LATEST_READY.replace("place = ''", "place = 'd'")
LATEST_SLOT = """SELECT slot FROM {lines} WHERE queue = ? AND slot <= {now}
    ORDER BY slot DESC LIMIT 1"""
NEXT_DELAYED = """SELECT due_at FROM {jobs} WHERE place = 'd' AND queue = ? AND due_at > {now}
    ORDER BY due_at LIMIT 1"""
#: `seen` may lie ahead where the clock has gone back.
TAKE_WAKEUP = """UPDATE {queues} SET armed = 0,
    seen = CASE WHEN seen < ? OR seen > {now} THEN ? ELSE seen END
    WHERE queue = ? AND (armed > 0 OR seen < ? OR seen > {now})"""
#: Voids a slot that lies ahead because the clock has gone back: the line is looked at again.
VOID_SLOTS = "UPDATE {lines} {line:since} SET slot = 0 WHERE since > {now} AND slot > 0"


#: `armed` where a review is news.
ARMED_BY_REVIEW = 2


class QueueState(NamedTuple):
    """A queue as it stands: microseconds since the epoch; None where there is none. `slot` is the
    earliest of its lines', `mark` of those of their reviews, `delayed` when the first delayed job
    is due, `ready` when the first of the others was. `void`: some slot needs REPAIR. `known`: it
    has a row."""

    queue: str
    paused: bool
    armed: int
    seen: int
    now: int
    slot: int | None
    mark: int | None
    delayed: int | None
    ready: int | None
    void: bool
    known: bool = True

    @property
    def next(self) -> int | None:
        """When the first delayed job or slot is, or was, due."""
        return min((at for at in (self.delayed, self.slot) if at is not None), default=None)

    @property
    def has_jobs(self) -> bool:
        """There are jobs to be claimed that are in no line."""
        return self.ready is not None or (self.delayed is not None and self.delayed <= self.now)

    @property
    def has_slot(self) -> bool:
        """A line is to be looked at."""
        return self.slot is not None and self.slot <= self.now

    @property
    def waits(self) -> bool:
        """Something is due, told already or not."""
        asked = self.mark is not None and self.armed == ARMED_BY_REVIEW
        return not self.paused and (self.has_jobs or self.has_slot or asked)


def state_query(queues: Sequence[str], sql: str = FULL_STATE) -> Query:
    """Asks for what `looks` reads: each queue with what comes first of each kind, a few looks into
    an index."""
    return Query(sql + IN_LIST, (list(queues),))


def brief_state_query(queues: Sequence[str]) -> Query:
    """As `look`, without the ready jobs' due times, and no line is void."""
    return state_query(queues, BRIEF_STATE)


def read_states(found: QueryResult) -> list[QueueState]:
    return [
        QueueState._make(
            (to_text(queue), bool(paused), *map(optional_number, times), bool(void), True)
        )
        for queue, paused, *times, void in found.rows
    ]


def arm(tx: Transaction, queues: Iterable[str]) -> None:
    """Arm the bells of these queues."""
    if names := sorted(queues):
        tx.later(Query(ARM, (names,)))


def take_wakeup(
    session: Session, found: Sequence[QueueState], later: int | None = None
) -> tuple[int, int | None]:
    """How many jobs one of these queues has to tell of, which then is told (0: none has any; at
    most SEVERAL are counted); and when, in microseconds since the epoch, the next thing comes due
    by itself (None: nothing is known to).
    `later`: when something else does.
    """
    nexts = [] if later is None else [later]
    for one in found:
        if one.paused:
            continue
        if not one.waits:
            nexts += [one.next] if one.next is not None else []
            continue
        *dues, next_, ready = session.read(
            *(
                Query(sql, (one.queue,))
                for sql in (LATEST_READY, LATEST_DELAYED, LATEST_SLOT, NEXT_DELAYED, COUNT_WAKEUPS)
            )
        )
        nexts += [number(at) for (at,) in next_.rows]
        latest = max((number(at) for result in dues for (at,) in result.rows), default=0)
        if not (one.armed or latest > one.seen or one.seen > one.now):
            continue
        if session.transact(partial(_take, queue=one.queue, at=latest, known=one.known)):
            return max(1, number(ready.rows[0][0])), None
    return 0, min(nexts, default=None)


def _take(tx: Transaction, queue: str, at: int, known: bool) -> bool:
    if not known:
        tx.later(Query(ADD_QUEUE, (queue,)))
    return tx.run(Query(TAKE_WAKEUP, (at, at, queue, at)))[0].changed > 0
