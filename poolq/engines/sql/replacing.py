"""Stores jobs whose unique keys others have: they replace a job, take a void key, or give way.

The job that has the key is looked up, locked, then the key is locked, and who has it is looked up
again, because everybody locks a job before its key. If the key has changed hands in the meantime,
the transaction stores nothing, and is to be repeated.
"""

from collections.abc import Sequence
from functools import partial

from poolq.engines.sanitize import to_text
from poolq.engines.sql import ties
from poolq.engines.sql.admin import close_empty, lock_waiting
from poolq.engines.sql.job_counters import CounterIncrements
from poolq.engines.sql.session import BatchQuery, Query, Session, Transaction
from poolq.engines.sql.settling import DELETE_JOBS
from poolq.jobs.ties import TiedPush, UniqueRight


def push_tied(session: Session, pushes: Sequence[TiedPush], holders: dict[str, str]) -> None:
    """Store jobs whatever their rules. Adds to `holders` by id which job has each job's key."""
    for one in pushes:
        session.check_size(one.push)
    session.add_queues({one.queue for one, _ in pushes})
    decided, rest, skipped = ties.give_way(session, pushes)
    if decided:
        session.transact(lambda tx: tx.later(*skipped.queries()))
        holders.update(decided)
    if not rest:
        return
    decided, contested = session.transact(partial(ties.push, pushes=rest))
    holders.update(decided)
    for one, right in contested:
        holder_id = None
        while holder_id is None:
            holder_id = session.transact(partial(push_contested, one=one, right=right))
        holders[one.push.id] = holder_id


def push_contested(tx: Transaction, one: TiedPush, right: UniqueRight) -> str | None:
    """Store the job, or find out to which job it gives way. Returns the id of the job that has the
    key, or None if the transaction is to be repeated."""
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
        return None
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
