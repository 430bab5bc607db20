"""Forgets queues that have held no job for a while. Their counters are added to those of queue "".

A queue's row records when the queue was last found in use (`used`), and the sum of its counters at
that time (`total`). If the sum has changed since, jobs have come and gone. It does no harm if a job
is stored or parked while its queue is being forgotten, because a queue without a row is found by
its jobs and lines (`queue_discovery.py`), and gets a new row.
"""

from collections.abc import Sequence
from functools import partial

from poolq.engines.sanitize import number, to_text, total
from poolq.engines.sql.job_counters import COUNTER_NAMES, CounterIncrements
from poolq.engines.sql.location import IS_CLAIMED
from poolq.engines.sql.queues.wakeups import ADD_QUEUE
from poolq.engines.sql.session import (
    BatchQuery,
    Query,
    QueryResult,
    Session,
    Transaction,
    in_chunks,
)

#: How many queues one sweep checks. The sweep blocks SQLite's other writers for some 10 ms.
MAX_FORGOTTEN = 500

IDLE_QUEUES = f"""SELECT queue FROM {{queues}} WHERE used < {{now}} - ? AND paused + 0 = 0
    ORDER BY used LIMIT {MAX_FORGOTTEN}"""
#: The queues that hold jobs other than running ones.
QUEUES_WITH_JOBS = """SELECT q.queue FROM {queues} q WHERE q.queue {in_list} AND (
    EXISTS (SELECT 1 FROM {jobs} j WHERE j.place = '' AND j.queue = q.queue)
    {returned:OR EXISTS (SELECT 1 FROM {jobs} j WHERE j.place = 'b' AND j.queue = q.queue)}
    OR EXISTS (SELECT 1 FROM {jobs} j WHERE j.place = 'd' AND j.queue = q.queue)
    OR EXISTS (SELECT 1 FROM {lines} l WHERE {ordering:l.queue} = q.queue)
    OR EXISTS (SELECT 1 FROM {failed} f WHERE f.queue = q.queue))"""
QUEUES_WITH_CLAIMS = f"SELECT DISTINCT queue FROM {{jobs}} WHERE {IS_CLAIMED}"
_SUM = " + ".join(f"SUM({one})" for one in COUNTER_NAMES)
COUNTER_TOTALS = f"""SELECT q.queue, q.total, (SELECT COALESCE({_SUM}, 0)
    FROM {{counters}} c WHERE {{ordering:c.queue}} = q.queue)
    FROM {{queues}} q WHERE q.queue {{in_list}}"""
SAVE_USED = "UPDATE {queues} SET used = {now}, total = ? WHERE queue = ?"
DELETE_QUEUES = "DELETE FROM {queues} WHERE queue {in_list} AND paused = 0"
KNOWN_QUEUES = "SELECT queue FROM {queues} WHERE queue {in_list}"
LOCK_COUNTERS = f"""SELECT worker, queue, {", ".join(COUNTER_NAMES)} FROM {{counters}}
    WHERE {{ordering:queue}} {{in_list}} {{lock}}"""
DELETE_COUNTERS = "DELETE FROM {counters} WHERE worker = ? AND queue = ?"


def sweep(session: Session, idle: int, busy: Sequence[str]) -> bool:
    """Forget some queues that have been idle for `idle` microseconds. Returns whether there may be
    more. `busy`: the queues that have ready, delayed or parked jobs."""
    for some in in_chunks(sorted(busy)):
        session.transact(partial(_add_missing, queues=some))
    (found,) = session.read(Query(IDLE_QUEUES, (idle,)))
    names = [to_text(queue) for (queue,) in found.rows]
    if not names:
        return False
    holds, running, totals = session.read(
        Query(QUEUES_WITH_JOBS, (names,)),
        Query(QUEUES_WITH_CLAIMS),
        Query(COUNTER_TOTALS, (names,)),
    )
    held = {to_text(queue) for (queue,) in (*holds.rows, *running.rows)}
    counts = {to_text(queue): (number(old), total(new)) for queue, old, new in totals.rows}
    items = sorted(counts.items())
    used = [(new, name) for name, (old, new) in items if name in held or old != new]
    if used:
        session.transact(lambda tx: tx.later(BatchQuery(SAVE_USED, used)))
    gone = sorted(set(counts) - {name for _, name in used})
    if gone:
        session.transact(lambda tx: _forget(tx, gone))
    return len(names) >= MAX_FORGOTTEN or any(name not in held for _, name in used)


def _add_missing(tx: Transaction, queues: Sequence[str]) -> None:
    """Add a row for each of these queues that has none."""
    (found,) = tx.run(Query(KNOWN_QUEUES, (queues,)))
    known = {to_text(queue) for (queue,) in found.rows}
    tx.later(*(Query(ADD_QUEUE, (queue,)) for queue in queues if queue not in known))


def _forget(tx: Transaction, queues: Sequence[str]) -> None:
    """Forget these queues, except for those that were paused in the meantime."""
    _, left = tx.run(Query(DELETE_QUEUES, (queues,)), Query(KNOWN_QUEUES, (queues,)))
    kept = {to_text(queue) for (queue,) in left.rows}
    gone = [queue for queue in queues if queue not in kept]
    if not gone:
        return
    (found,) = tx.run(Query(LOCK_COUNTERS, (gone,)))
    sums = CounterIncrements()
    sums.add_rows(QueryResult([("", *counts) for _, _, *counts in found.rows], 0))
    # A row that a worker has added since then stays, because the worker counts there again.
    rows = [(worker, queue) for worker, queue, *_ in found.rows]
    if rows:
        tx.later(*sums.queries(appends=False), BatchQuery(DELETE_COUNTERS, rows))
