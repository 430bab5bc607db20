"""Queues that have held no job for a while are forgotten; their counters go to those of "".

A queue's row has when it was last found to have been `used`, and its counters' `total` of then: so
jobs that came and went meanwhile are noticed, without anybody having written that down. Nobody is
hurt if a job is stored or waits for a limit at the same time: a queue without a row is found by its
jobs and lines (`queue_discovery.py`), and gets one again.
"""

from collections.abc import Sequence
from functools import partial

from poolq.engines.sanitize import number, to_text, total
from poolq.engines.sql.job_counters import ADD, NAMES, NOBODY
from poolq.engines.sql.location import CLAIMED, CLAIMED_END
from poolq.engines.sql.session import Many, Op, Session, Transaction, cut
from poolq.engines.sql.wakeups import KNOW

#: So many are looked at, and forgotten, at once: SQLite's other writers wait for some 10 ms.
SWEPT = 500

IDLE = f"""SELECT queue FROM {{queues}} WHERE used < {{now}} - ? AND paused + 0 = 0
    ORDER BY used LIMIT {SWEPT}"""
#: What one of them may still hold, but for what runs.
HOLDS = """SELECT q.queue FROM {queues} q WHERE q.queue IN {list} AND (
    EXISTS (SELECT 1 FROM {jobs} j WHERE j.place = '' AND j.queue = q.queue)
    OR EXISTS (SELECT 1 FROM {jobs} j WHERE j.place = 'd' AND j.queue = q.queue)
    OR EXISTS (SELECT 1 FROM {lines} l WHERE l.queue = q.queue)
    OR EXISTS (SELECT 1 FROM {failed} f WHERE f.queue = q.queue))"""
RUNNING = f"""SELECT DISTINCT queue FROM {{jobs}}
    WHERE place >= '{CLAIMED}' AND place < '{CLAIMED_END}'"""
_ALL = " + ".join(f"SUM({one})" for one in NAMES)
TOTALS = f"""SELECT q.queue, q.total, (SELECT COALESCE({_ALL}, 0)
    FROM {{counters}} c WHERE c.queue = q.queue) FROM {{queues}} q WHERE q.queue IN {{list}}"""
USED = "UPDATE {queues} SET used = {now}, total = ? WHERE queue = ?"
FORGET = "DELETE FROM {queues} WHERE queue IN {list} AND paused = 0"
LEFT = "SELECT queue FROM {queues} WHERE queue IN {list}"
COUNTERS = """SELECT SUM(done), SUM(failed), SUM(retried), SUM(limited), SUM(parked), SUM(crashed)
    FROM {counters} WHERE queue IN {list} {lock}"""
DROP = "DELETE FROM {counters} WHERE queue IN {list}"


def sweep(session: Session, idle: int, busy: Sequence[str]) -> bool:
    """Forget some queues that have been idle for so many microseconds; True: there may be more.
    `busy`: the queues that have ready, delayed or parked jobs."""
    for some in cut(sorted(busy)):
        session.transact(partial(_note, queues=some))
    (found,) = session.read(Op(IDLE, (idle,)))
    names = [to_text(queue) for (queue,) in found.rows]
    if not names:
        return False
    holds, running, totals = session.read(Op(HOLDS, (names,)), Op(RUNNING), Op(TOTALS, (names,)))
    held = {to_text(queue) for (queue,) in (*holds.rows, *running.rows)}
    counts = {to_text(queue): (number(old), total(new)) for queue, old, new in totals.rows}
    used = [
        (new, name) for name, (old, new) in sorted(counts.items()) if name in held or old != new
    ]
    if used:
        session.transact(lambda tx: tx.later(Many(USED, used)))
    gone = sorted(set(counts) - {name for _, name in used})
    if gone:
        session.transact(lambda tx: _forget(tx, gone))
    return len(names) >= SWEPT or any(name not in held for _, name in used)


def _note(tx: Transaction, queues: Sequence[str]) -> None:
    """These hold jobs, also those that have no row."""
    (found,) = tx.run(Op(LEFT, (queues,)))
    known = {to_text(queue) for (queue,) in found.rows}
    tx.later(*(Op(KNOW, (queue,)) for queue in queues if queue not in known))


def _forget(tx: Transaction, queues: Sequence[str]) -> None:
    """Forget these, but for those that were paused meanwhile."""
    _, left = tx.run(Op(FORGET, (queues,)), Op(LEFT, (queues,)))
    kept = {to_text(queue) for (queue,) in left.rows}
    gone = [queue for queue in queues if queue not in kept]
    if not gone:
        return
    (sums,) = tx.run(Op(COUNTERS, (gone,)))
    counts = [total(count) for count in sums.rows[0]]
    if any(counts):
        tx.later(Op(ADD, (NOBODY, "", *counts)))
    tx.later(Op(DROP, (gone,)))
