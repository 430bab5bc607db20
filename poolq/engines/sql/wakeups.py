"""A queue's state, and its wake-up token: the columns `armed` and `seen`.

A waiter may take the token of a queue that has something due if the queue is armed, or if something
has come due after `seen`. Taking it disarms the queue and sets `seen`, and only one of several
waiters succeeds. Steps arm the queue again. So a push writes nothing but the job, one job wakes one
waiter, a job stored a little later than its due time is noticed after the next step at the latest,
and no waiter is woken for the same thing again and again.
"""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import NamedTuple

from poolq.engines.sanitize import number, optional_number, to_text
from poolq.engines.sql.session import Query, QueryResult, Session, Transaction

ADD_QUEUE = "INSERT INTO {queues} (queue, used) VALUES (?, {now}) {on:queue} queue = {new:queue}"
ARM = "UPDATE {queues} SET armed = 1 WHERE armed = 0 AND queue IN {list}"
#: Arms for a review: unlike ARM, so that an old mark does not wake a waiter after each step.
ARM_MARKED = """UPDATE {queues} SET armed = 2
    WHERE queue IN (SELECT l.queue FROM {lines} l WHERE l.review > 0)"""
PAUSE_QUEUE = """INSERT INTO {queues} (queue, paused, used) VALUES (?, 1, {now})
    {on:queue} paused = 1"""
RESUME_QUEUE = "UPDATE {queues} SET paused = 0, armed = 1 WHERE queue = ?"

IN_LIST = " WHERE q.queue IN {list}"
# Ordered by the whole index: otherwise MySQL, which does not see that only one queue is meant,
# would read and sort all of its jobs.
FIRST_SLOT = """(SELECT l.slot FROM {lines} l WHERE l.queue = q.queue
    ORDER BY l.queue, l.slot LIMIT 1)"""
FIRST_MARK = """(SELECT l.review FROM {lines} l {line:review}
    WHERE l.review > 0 AND l.queue = q.queue ORDER BY l.review LIMIT 1)"""
FIRST_READY = """(SELECT j.due_at FROM {jobs} j WHERE j.place = '' AND j.queue = q.queue
    ORDER BY j.place, j.queue, j.due_at LIMIT 1)"""
FIRST_DELAYED = FIRST_READY.replace("j.place = ''", "j.place = 'd'")
#: Whether a line's slot was calculated before the clock went back.
HAS_VOID_SLOT = "EXISTS (SELECT 1 FROM {lines} l {line:since} WHERE l.since > {now} AND l.slot > 0)"
BRIEF_STATE = f"""SELECT q.queue, q.paused, q.armed, q.seen, {{now}},
    {FIRST_SLOT}, {FIRST_MARK}, {FIRST_DELAYED}, NULL, 0 FROM {{queues}} q"""
FULL_STATE = BRIEF_STATE.replace("NULL, 0", f"{FIRST_READY}, {HAS_VOID_SLOT}")
#: How many ready jobs are counted at most: as many workers may be woken at once.
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
#: `seen` lies ahead if the clock has gone back.
TAKE_WAKEUP = """UPDATE {queues} SET armed = 0,
    seen = CASE WHEN seen < ? OR seen > {now} THEN ? ELSE seen END
    WHERE queue = ? AND (armed > 0 OR seen < ? OR seen > {now})"""
#: Resets slots that were calculated before the clock went back, so that their lines are looked at.
VOID_SLOTS = "UPDATE {lines} {line:since} SET slot = 0 WHERE since > {now} AND slot > 0"

#: The value of `armed` that ARM_MARKED sets.
ARMED_BY_REVIEW = 2


class QueueState(NamedTuple):
    """A queue's state; times are in microseconds since the epoch, None if there is none.

    `slot`: the earliest slot of its lines. `mark`: the earliest review of its lines. `delayed`:
    when the first delayed job is due. `ready`: when the first ready job was due. `void`: some slot
    of any queue needs VOID_SLOTS. `known`: the queue has a row."""

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
    def next_due(self) -> int | None:
        """When the first delayed job or slot is due; this may be in the past."""
        return min((at for at in (self.delayed, self.slot) if at is not None), default=None)

    @property
    def has_jobs(self) -> bool:
        """Whether there are jobs to be claimed outside the lines."""
        return self.ready is not None or (self.delayed is not None and self.delayed <= self.now)

    @property
    def has_slot(self) -> bool:
        """Whether a line has a slot."""
        return self.slot is not None and self.slot <= self.now

    @property
    def is_due(self) -> bool:
        """Whether something is due, even if its wake-up has been taken."""
        asked = self.mark is not None and self.armed == ARMED_BY_REVIEW
        return not self.paused and (self.has_jobs or self.has_slot or asked)


def state_query(queues: Sequence[str], sql: str = FULL_STATE) -> Query:
    """A query for the states of queues that have a row, in a few index lookups; see
    `read_states`."""
    return Query(sql + IN_LIST, (list(queues),))


def brief_state_query(queues: Sequence[str]) -> Query:
    """As `state_query`, but without `ready` and `void`."""
    return state_query(queues, BRIEF_STATE)


def read_states(found: QueryResult) -> list[QueueState]:
    return [
        QueueState._make(
            (to_text(queue), bool(paused), *map(optional_number, times), bool(void), True)
        )
        for queue, paused, *times, void in found.rows
    ]


def arm(tx: Transaction, queues: Iterable[str]) -> None:
    """Put the wake-up tokens of these queues back."""
    if names := sorted(queues):
        tx.later(Query(ARM, (names,)))


def take_wakeup(
    session: Session, found: Sequence[QueueState], later: int | None = None
) -> tuple[int, int | None]:
    """Take the wake-up of the first of these queues that has one.

    Returns how many ready jobs it has (at least 1, at most MAX_WAKEUPS; 0 if no queue has a
    wake-up) and when the next job or slot comes due, in microseconds since the epoch (None: none is
    known). `later`: when something comes due elsewhere."""
    upcoming = [] if later is None else [later]
    for one in found:
        if one.paused:
            continue
        if not one.is_due:
            upcoming += [one.next_due] if one.next_due is not None else []
            continue
        *dues, next_, ready = session.read(
            *(
                Query(sql, (one.queue,))
                for sql in (LATEST_READY, LATEST_DELAYED, LATEST_SLOT, NEXT_DELAYED, COUNT_WAKEUPS)
            )
        )
        upcoming += [number(at) for (at,) in next_.rows]
        latest = max((number(at) for result in dues for (at,) in result.rows), default=0)
        if not (one.armed or latest > one.seen or one.seen > one.now):
            continue
        if session.transact(partial(_take, queue=one.queue, at=latest, known=one.known)):
            return max(1, number(ready.rows[0][0])), None
    return 0, min(upcoming, default=None)


def _take(tx: Transaction, queue: str, at: int, known: bool) -> bool:
    if not known:
        tx.later(Query(ADD_QUEUE, (queue,)))
    return tx.run(Query(TAKE_WAKEUP, (at, at, queue, at)))[0].changed > 0
