"""Stores new jobs: plain ones, those with unique keys, and those that wait for gates.

Most are stored as their database does it best (`Session`). This module stores the others: jobs
whose unique keys others have, which replace a job, take a void key, or give way; and jobs in the
wait lists of gates, as if workers had parked them there.

The job that has a key is looked up, locked, then the key is locked, and who has it is looked up
again, because everybody locks a job before its key. If the key has changed hands in the meantime,
the transaction stores nothing, and is to be repeated.
"""

from collections.abc import Callable, Sequence
from functools import partial
from operator import attrgetter

from poolq.engines.sanitize import to_text
from poolq.engines.spans import GATE_SPAN
from poolq.engines.sql import unique_keys
from poolq.engines.sql.administration.stored_jobs import close_empty, lock_waiting
from poolq.engines.sql.claims.settling import DELETE_JOBS
from poolq.engines.sql.job_counters import CounterIncrements
from poolq.engines.sql.limits import concurrent_slots
from poolq.engines.sql.limits.parking import encode_rules
from poolq.engines.sql.location import QUEUED, line_of
from poolq.engines.sql.queues.wakeups import arm
from poolq.engines.sql.session import (
    MAX_LIST_VALUES,
    BatchQuery,
    Query,
    Session,
    Transaction,
    first_chunk,
    in_chunks,
)
from poolq.jobs.message import Push
from poolq.jobs.unique import UniqueKey

Values = tuple[object, ...]
#: Stores the first of some jobs. Adds to the dict by id which job has each job's key, of those for
#: which it is known. Returns how many jobs are stored, or have given way.
Store = Callable[[Session, Sequence[Push], dict[str, str]], int]

#: How many bytes of unique jobs one transaction stores at most. One job may be bigger.
CHUNK_BYTES = 1 << 19

STORE_JOB = """INSERT INTO {jobs} (id, place, queue, due_at, expires_at, history, body, ties, rules)
    SELECT ?, CASE WHEN due > {now} THEN 'd' ELSE ? END, ?, due, due + ?, x'', ?, ?, ?
    FROM (SELECT {greatest}(?, {now} + ?) AS due) one"""
#: A new line counts as named by the newest code.
OPEN_LINE = concurrent_slots.OPEN_LINE.replace("?, 0)", "(SELECT deploys FROM {schema}), 0)")
#: Of the limits that dispatches name for a gate, the last one applies, in all queues, unless
#: workers' code has named one. If that changes, no slot is handed on before they are counted.
NAME_LIMIT = """INSERT INTO {windows} (name, span, most, start, used, ends)
    VALUES (?, ?, ?, 0, 0, {now}) {on:name, span}
    used = {greatest}(used, most), most = CASE WHEN deploy = 0 THEN {new:most} ELSE most END"""

_unique_of, _gate_of = map(attrgetter, ("unique", "gate"))


def parts(pushes: Sequence[Push]) -> list[tuple[Store, Sequence[Push]]]:
    """Split jobs by how they are stored. Those that wait for gates come last."""
    if len(pushes) == 1:
        (one,) = pushes
        alone = _store_waiting if one.gate else _store_unique if one.unique else _store_plain
        return [(alone, pushes)]
    waiting = [one for one in pushes if one.gate] if any(map(_gate_of, pushes)) else []
    others = [one for one in pushes if not one.gate] if waiting else pushes
    store = _store_unique if any(map(_unique_of, others)) else _store_plain
    found: list[tuple[Store, Sequence[Push]]] = [(store, others)] if others else []
    return [*found, (_store_waiting, waiting)] if waiting else found


def _store_plain(session: Session, jobs: Sequence[Push], _: dict[str, str]) -> int:
    return session.store(jobs)


def _store_unique(session: Session, jobs: Sequence[Push], holders: dict[str, str]) -> int:
    some = first_chunk(jobs, MAX_LIST_VALUES, CHUNK_BYTES)
    keys = [one.unique.key for one in some if one.unique]
    if len(set(keys)) == len(keys) and (count := session.store(some)):
        return count
    _ask(session, some, holders)
    return len(some)


def _store_waiting(session: Session, jobs: Sequence[Push], _: dict[str, str]) -> int:
    some = jobs[:MAX_LIST_VALUES]
    _prepare(session, some)
    session.transact(partial(_park, pushes=some))
    return len(some)


def _prepare(session: Session, jobs: Sequence[Push]) -> None:
    for one in jobs:
        session.check_size(one)
    session.add_queues({one.queue for one in jobs})


def _park(tx: Transaction, pushes: Sequence[Push]) -> None:
    """Store jobs in wait lists. These are locked first, sorted by name, and their gates last."""
    rules = {(line_of(one.gate), one.queue): one.gate for one in pushes if one.gate}
    limits = {one.gate.key: one.gate.limit for one in pushes if one.gate}
    rows = [
        job_values(one, line_of(one.gate), encode_rules([one.gate])) for one in pushes if one.gate
    ]
    tx.later(
        *(
            Query(OPEN_LINE, (*line, rule.key, GATE_SPAN, rule.limit))
            for line, rule in sorted(rules.items())
        ),
        BatchQuery(STORE_JOB, rows),
    )
    arm(tx, {push.queue for push in pushes})
    names = [(key, GATE_SPAN, most) for key, most in sorted(limits.items())]
    tx.at_end(BatchQuery(NAME_LIMIT, names))


def _ask(session: Session, pushes: Sequence[Push], holders: dict[str, str]) -> None:
    """Store jobs whatever keys they ask for."""
    _prepare(session, pushes)
    free, contested = _give_way(session, pushes, holders)
    while free and (count := session.store(free)):
        holders.update({one.id: one.id for one in free[:count]})
        free = free[count:]
    if free:  # somebody else was faster
        contested = [one for one in pushes if one.id not in holders]
    for one in contested:
        holder = None
        while holder is None:
            holder = session.transact(partial(store_contested, push=one))
        holders[one.id] = holder


def _give_way(
    session: Session, pushes: Sequence[Push], holders: dict[str, str]
) -> tuple[list[Push], list[Push]]:
    """Find the jobs that give way to others, note for each which job has its key, and count them.
    Returns the jobs whose keys are free, and the rest, which may replace a job, or take the key of
    one that is gone. No key is locked: that the other job has it at this moment is enough."""
    keys = {one.unique.key for one in pushes if one.unique}
    found = session.read(
        *(Query(unique_keys.HOLDERS_NOW, (some,)) for some in in_chunks(sorted(keys)))
    )
    known = unique_keys.holders_in(found)
    taken, free, contested = set(known), list[Push](), list[Push]()
    skipped = CounterIncrements()
    for one in pushes:
        unique = one.unique
        if unique is None or unique.key not in taken:
            free.append(one)
            taken |= {unique.key} if unique else set()
        elif unique.replaces or unique.key not in known or known[unique.key].is_void:
            contested.append(one)
        else:
            holders[one.id] = known[unique.key].id
            skipped.add(one.queue, "skipped")
    if skipped.counts:
        session.transact(lambda tx: tx.later(*skipped.queries()))
    return free, contested


def store_contested(tx: Transaction, push: Push) -> str | None:
    """Store the job, or find out to which job it gives way. Returns the id of the job that has the
    key, or None if the transaction is to be repeated."""
    unique = push.unique
    if unique is None:
        tx.later(Query(STORE_JOB, job_values(push)))
        return push.id
    (found,) = tx.run(Query(unique_keys.HOLDER, (unique.key,)))
    seen = [to_text(id_) for (id_,) in found.rows]
    waiting = lock_waiting(tx, seen) if unique.replaces and seen else {}
    tx.run(BatchQuery(unique_keys.TAKE_KEY, [(unique.key, push.id, unique.lasts, unique.lasts)]))
    holder = unique_keys.holder_of(tx, unique.key)
    assert holder is not None  # this transaction has locked the key
    if holder.id == push.id or holder.is_void:
        _store_with_key(tx, push, unique)
        return push.id
    if not unique.replaces:
        _count(tx, push.queue, "skipped")
        return holder.id
    if holder.id not in seen:
        return None
    if holder.id not in waiting:  # it is running
        _count(tx, push.queue, "skipped")
        return holder.id
    tx.later(Query(DELETE_JOBS, ([holder.id],)))
    _store_with_key(tx, push, unique)
    close_empty(tx, waiting.values())
    _count(tx, waiting[holder.id].queue, "replaced")
    return push.id


def _store_with_key(tx: Transaction, push: Push, unique: UniqueKey) -> None:
    """Store a job, and give it a key that is locked and was somebody else's."""
    given = push.id, unique.lasts, unique.lasts, unique.key
    tx.later(Query(unique_keys.SET_KEY, given), Query(STORE_JOB, job_values(push)))


def job_values(push: Push, place: str = QUEUED, rules: bytes | None = None) -> Values:
    """Return the arguments of STORE_JOB. `place`: where the job is if it is due now."""
    id_, queue, body, delay, at, expires, unique, _ = push
    tie = unique.stored if unique else None
    delay = 0 if at > 0 else max(0, delay)
    return id_, place, queue, expires or None, body, tie, rules, at, delay


def _count(tx: Transaction, queue: str, counter: str) -> None:
    increments = CounterIncrements()
    increments.add(queue, counter)
    tx.at_end(*increments.queries())
