"""Stores a job whose unique key another job has: replaces that job, takes a void key, or gives way.

The job that has the key is looked up, locked, then the key is locked, and who has it is looked up
again, because everybody locks a job before its key. If the key has changed hands in the meantime,
the transaction stores nothing, and is to be repeated.
"""

from poolq.engines.sanitize import to_text
from poolq.engines.sql import ties
from poolq.engines.sql.admin import close_empty, lock_waiting
from poolq.engines.sql.job_counters import CounterIncrements
from poolq.engines.sql.session import BatchQuery, Query, Transaction
from poolq.engines.sql.settling import DELETE_JOBS
from poolq.jobs.ties import TiedPush, UniqueRight


def push_contested(tx: Transaction, one: TiedPush, right: UniqueRight) -> str:
    """Store the job, or find out to which job it gives way. Returns the id of the job that has the
    key, or "" if the transaction is to be repeated."""
    (found,) = tx.run(Query(ties.HOLDER, (right.key,)))
    seen = [to_text(id_) for (id_,) in found.rows]
    waiting = lock_waiting(tx, seen) if right.replaces and seen else {}
    take = right.key, one.push.id, right.lasts, right.lasts
    tx.run(BatchQuery(ties.TAKE_KEY, [take]))
    holder = ties.holder_of(tx, right.key)
    assert holder is not None  # this transaction has locked the key
    if holder.id == one.push.id or holder.is_void:
        ties.store_with_key(tx, one, right)
        return one.push.id
    if not right.replaces:
        _count(tx, one.push.queue, "skipped")
        return holder.id
    if holder.id not in seen:
        return ""
    if holder.id not in waiting:  # it is running
        _count(tx, one.push.queue, "skipped")
        return holder.id
    tx.later(Query(DELETE_JOBS, ([holder.id],)))
    ties.store_with_key(tx, one, right)
    close_empty(tx, waiting.values())
    _count(tx, waiting[holder.id].queue, "replaced")
    return one.push.id


def _count(tx: Transaction, queue: str, counter: str) -> None:
    increments = CounterIncrements()
    increments.add(queue, counter)
    tx.at_end(*increments.queries())
