"""The wake-up token of a queue, which consists of the queue's columns `armed` and `seen`, but see
`postgresql/wake_tokens.py`.

A waiter may take the token of a queue that has something due, if the queue is armed, or if
something has come due after the time `seen`. Taking the token disarms the queue and sets `seen`.
Only one of several waiters succeeds. Steps arm the queue again. So a push writes only the job. One
job wakes one waiter, and no waiter is woken twice for the same job.

A job that becomes visible later than its due time, such as that of an application's transaction,
may lie before `seen`. So its queue must be armed: by the next step in it, or, if another worker has
taken what a waiter was woken for, by that waiter, once nothing is due there.
"""

from collections.abc import Iterable, Sequence
from functools import partial

from poolq.engines.sanitize import number, optional_number
from poolq.engines.sql.location import RETURNED
from poolq.engines.sql.queues.queue_discovery import NO_ROW, QueueState
from poolq.engines.sql.session import Query, Session, Transaction
from poolq.errors import EngineUnavailable

ADD_QUEUE = "INSERT INTO {queues} (queue, used) VALUES (?, {now}) {unless:queue}"
ADD_ARMED = "INSERT INTO {queues} (queue, used, armed) VALUES (?, {now}, 1) {unless:queue}"
ARM = "UPDATE {queues} SET armed = 1 WHERE armed = 0 AND queue {in_list}"
PAUSE_QUEUE = """INSERT INTO {queues} (queue, paused, used) VALUES (?, 1, {now})
    {on:queue} paused = 1"""
RESUME_QUEUE = "UPDATE {queues} SET paused = 0, armed = 1 WHERE queue = ?"

#: How many ready jobs are counted at most, and so how many workers are woken at once.
MAX_WAKEUPS = 64
#: Those that begin at the first due time do not meet entries of jobs that were done before.
COUNT_WAKEUPS = f"""SELECT COUNT(*) FROM (SELECT id FROM {{jobs}} WHERE place = '' AND queue = ?
    AND due_at >= ? LIMIT {MAX_WAKEUPS}) found"""
COUNT_RETURNED = COUNT_WAKEUPS.replace("place = ''", f"place = '{RETURNED}'")
LATEST_READY = """SELECT due_at FROM {jobs} WHERE place = '' AND queue = ? AND due_at >= ?
    AND due_at <= {now} ORDER BY due_at DESC LIMIT 1"""
LATEST_DELAYED = LATEST_READY.replace("place = ''", "place = 'd'")
LATEST_SLOT = """SELECT slot FROM {lines} WHERE {ordering:queue} = ? AND slot <= {now}
    ORDER BY slot DESC LIMIT 1"""
NEXT_DELAYED = """SELECT due_at FROM {jobs} WHERE place = 'd' AND queue = ? AND due_at > {now}
    ORDER BY due_at LIMIT 1"""
WAKEUPS = f"""SELECT ({COUNT_WAKEUPS}), ({NEXT_DELAYED}), ({LATEST_READY}), ({LATEST_DELAYED}),
    ({LATEST_SLOT})"""
#: `seen` lies in the future if the clock has gone back.
TAKE_WAKEUP = """UPDATE {queues} SET armed = 0,
    seen = CASE WHEN seen < ? OR seen > {now} THEN ? ELSE seen END
    WHERE queue = ? AND (armed > 0 OR seen < ? OR seen > {now})"""


def add_queues(session: Session, queues: set[str]) -> None:
    """Add rows for those of the queues that may have none, before jobs are stored there."""
    if new := queues - session.known_queues:
        queries = [Query(ADD_QUEUE, (queue,)) for queue in sorted(new)]
        try:
            session.transact(lambda tx: tx.later(*queries))
        except EngineUnavailable as error:
            error.maybe_stored = False  # no job was sent
            raise
        session.known_queues |= new


def arm(tx: Transaction, queues: Iterable[str]) -> None:
    """Put the wake-up tokens of these queues back."""
    if names := sorted(queues):
        tx.later(Query(ARM, (names,)))


def put_back(session: Session, found: Sequence[QueueState]) -> set[str]:
    """Arm queues in which nothing is due, if they are not. Returns all queues of this kind."""
    resting = [one for one in found if not one.is_due]
    if names := sorted(one.queue for one in resting if not (one.armed or one.paused)):
        session.change(Query(ARM, (names,)))
    return {one.queue for one in resting}


def wake(tx: Transaction, queues: Iterable[str]) -> None:
    """Put the wake-up tokens of these queues back, and tell those who wait."""
    if names := sorted(queues):
        tx.later(Query(ARM, (names,)))
        tx.tell(names)


def take_wakeup(
    session: Session,
    found: Sequence[QueueState],
    later: int | None,
    woken: set[str],
) -> tuple[int, int | None]:
    """Take the wake-up of the first of these queues that has one. Returns how many ready jobs the
    queue has (1 to MAX_WAKEUPS), and None. If no queue has a wake-up, returns 0, and when the next
    job or slot comes due, in microseconds since the epoch (None if none is known). `later`: when
    something comes due in other queues. `woken`: whose wake-ups this waiter has taken; it looks at
    them, too, until nothing is due there."""
    woken -= put_back(session, found)
    upcoming = [] if later is None else [later]
    for one in found:
        if one.paused:
            continue
        if not one.is_due:
            upcoming += [one.next_due] if one.next_due is not None else []
            continue
        (found_there,) = session.read(
            wakeups_query(one.queue, one.delayed or one.now, one.ready or one.now)
        )
        ready, next_, *dues = map(optional_number, found_there.rows[0])
        upcoming += [] if next_ is None else [next_]
        latest = max((at for at in dues if at is not None), default=0)
        if not (one.armed or latest > one.seen or one.seen > one.now):
            continue
        if one.armed == NO_ROW:
            session.change(Query(ADD_ARMED, (one.queue,)))
        if session.transact(partial(_take, queue=one.queue, at=latest)):
            woken.add(one.queue)
            jobs = ready or 0
            if one.returned is not None:
                (back,) = session.read(Query(COUNT_RETURNED, (one.queue, one.returned)))
                jobs = min(MAX_WAKEUPS, jobs + number(back.rows[0][0]))
            return max(1, jobs), None
    return 0, min(upcoming, default=None)


def wakeups_query(queue: str, delayed: int, ready: int) -> Query:
    """Return a query for how many ready jobs a queue has, for when the next job will come due, and
    for what has come due last. No delayed and no ready jobs were due before these times."""
    return Query(WAKEUPS, (queue, ready, queue, queue, ready, queue, delayed, queue))


def _take(tx: Transaction, queue: str, at: int) -> bool:
    """Take a queue's wake-up. If the server loses this in a crash, it is taken once more."""
    tx.unsynced()
    return tx.last(Query(TAKE_WAKEUP, (at, at, queue, at))) > 0
