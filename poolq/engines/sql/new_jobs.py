"""Stores new jobs: plain ones, those with unique keys, and those that wait for gates.

Jobs are first stored together, as if all their unique keys were free. If a key is taken, the jobs
with free keys are stored together, and the others one by one. Each of these replaces the job that
has the key, takes a void key, or gives way: it is not stored.

Every transaction locks a job before its key. So to replace a job, a transaction finds the job that
has the key, locks the job, then locks the key and checks who has it now. If the key now belongs to
another job, the transaction stores nothing and must be repeated.
"""

from collections.abc import Collection, Sequence
from functools import partial

from poolq.engines.sanitize import to_text
from poolq.engines.spans import GATE_SPAN
from poolq.engines.sql import unique_keys
from poolq.engines.sql.administration.stored_jobs import close_empty, lock_waiting
from poolq.engines.sql.claims.settling import DELETE_JOBS
from poolq.engines.sql.job_counters import CounterIncrements
from poolq.engines.sql.limits import concurrent_slots
from poolq.engines.sql.limits.parking import encode_rules
from poolq.engines.sql.location import QUEUED, line_of
from poolq.engines.sql.queues.wakeups import add_queues, wake
from poolq.engines.sql.session import (
    BatchQuery,
    DuplicateKey,
    Query,
    Row,
    Session,
    Transaction,
    first_chunk,
    in_chunks,
)
from poolq.jobs.limits import Gate
from poolq.jobs.message import Push
from poolq.jobs.unique import UniqueKey

#: How many jobs one transaction stores at most. This blocks SQLite's other writers for 30 ms.
MAX_STORED = 5000
#: Up to this number of jobs, a server computes the time of each job.
FEW = 50

#: Names only the columns that some of the new jobs need. On SQLite, three NULLs would take a fifth
#: of the time of many inserts.
INSERT_PLAIN = """INSERT INTO {jobs} (id, place, due_at, queue, history, body)
    VALUES (?, ?, ?, ?, {no_bytes}, ?)"""
INSERT_UNIQUE = INSERT_PLAIN.replace("body)", "body, effects)").replace("?)", "?, ?)")
INSERT_JOB = INSERT_UNIQUE.replace("effects)", "effects, expires_at)").replace("?)", "?, ?)")
INSERT_WAITING = INSERT_JOB.replace("at)", "at, rules)").replace("?)", "?, ?)")
INSERT_KEY = "INSERT INTO {unique_keys} (name, id, ends) VALUES (?, ?, ?)"
#: A new line counts as named by the newest code.
OPEN_LINE = concurrent_slots.OPEN_LINE.replace("?, 0)", "(SELECT deploys FROM {schema}), 0)")
#: If dispatches name different limits for a gate, the last limit applies in all queues, unless the
#: workers' code has named one. If the limit becomes lower, the slots are counted before one is
#: handed on.
NAME_LIMIT = """INSERT INTO {windows} (name, span, most, start, used, ends)
    VALUES (?, ?, ?, 0, 0, {now}) {on:name, span}
    used = {greatest}({windows}.used, {windows}.most),
    most = CASE WHEN {windows}.deploy = 0 THEN {new:most} ELSE {windows}.most END"""


def store(session: Session, pushes: Sequence[Push], holders: dict[str, str]) -> int:
    """Store the first of these jobs, or let them give way. Adds to `holders`, by a job's id, the id
    of the job that has its key, if that is known. Returns how many jobs were handled."""
    batch = first_chunk(pushes, MAX_STORED, session.stored_bytes) if len(pushes) > 1 else pushes
    if not _store(session, batch):
        _ask(session, batch, holders)
    return len(batch)


def _store(session: Session, pushes: Sequence[Push]) -> bool:
    """Store jobs in one transaction. Returns False if two of the jobs have the same unique key, or
    if one of their keys is already in the table."""
    try:
        if len(pushes) > 1 or not session.store_one(pushes[0]):
            unique = [(push.unique, push.id) for push in pushes if push.unique]
            if len({key.key for key, _ in unique}) < len(unique):
                return False
            session.check_sizes(pushes)
            queues = {push.queue for push in pushes}
            add_queues(session, queues)
            session.transact(partial(_insert, pushes=pushes, unique=unique, queues=queues))
    except DuplicateKey:
        if any(push.unique for push in pushes):
            return False
        raise
    return True


def _insert(
    tx: Transaction,
    pushes: Sequence[Push],
    unique: Sequence[tuple[UniqueKey, str]],
    queues: Collection[str],
) -> None:
    """Store jobs in these queues. Some of the jobs are unique. This locks the wait lists first,
    then the keys, then the gates."""
    if len(pushes) > FEW:
        tx.stop_clock()
    place, now, _ = tx.when(QUEUED, 0, 0, 0)
    keys = [
        (key.key, id_, tx.when(QUEUED, key.lasts, 0, 0)[1] if key.lasts else 0)
        for key, id_ in unique
    ]
    sql = INSERT_UNIQUE if keys else INSERT_PLAIN
    rows: list[Row] = [
        (push.id, place, now, push.queue, push.body, push.unique.stored)
        if push.unique
        else (push.id, place, now, push.queue, push.body)
        for push in pushes
        if not (push.delay or push.at or push.expires or push.gate)
    ]
    if len(rows) < len(pushes) or (keys and len(keys) < len(pushes)):
        if waiting := [(push, push.gate) for push in pushes if push.gate]:
            _park(tx, waiting)
        sql = INSERT_JOB
        rows = [
            job_row(tx, push) for push in pushes if not push.gate
        ]  # one clock keeps their order
    if keys:
        tx.later(BatchQuery(INSERT_KEY, sorted(keys)))
    tx.later(BatchQuery(sql, rows))
    tx.tell(sorted(queues))


def _park(tx: Transaction, pushes: Sequence[tuple[Push, Gate]]) -> None:
    """Store jobs in wait lists, in the order of the lists, as if workers had parked them there."""
    gates = {(line_of(gate), push.queue): gate for push, gate in pushes}
    rows = [(*job_row(tx, push, line_of(gate)), encode_rules([gate])) for push, gate in pushes]
    lines = [(*line, gate.key, GATE_SPAN, gate.limit) for line, gate in sorted(gates.items())]
    tx.later(BatchQuery(OPEN_LINE, lines), BatchQuery(INSERT_WAITING, rows))
    wake(tx, {push.queue for push, _ in pushes})
    limits = {gate.key: gate.limit for _, gate in pushes}
    names = [(key, GATE_SPAN, limit) for key, limit in sorted(limits.items())]
    tx.at_end(BatchQuery(NAME_LIMIT, names))


def job_row(tx: Transaction, push: Push, place: str = QUEUED) -> Row:
    """Return the arguments of INSERT_JOB. `place`: where the job is if it is due now."""
    place, due, ends = tx.when(place, push.delay, push.at, push.expires)
    unique = push.unique
    return push.id, place, due, push.queue, push.body, unique.stored if unique else None, ends


def _ask(session: Session, pushes: Sequence[Push], holders: dict[str, str]) -> None:
    """Store jobs, even if their keys are taken."""
    free, contested = _give_way(session, pushes, holders)
    if free and _store(session, free):
        holders.update({push.id: push.id for push in free})
    elif free:  # somebody else was faster
        contested = [push for push in pushes if push.id not in holders]
    for push in contested:
        holder = None
        while holder is None:
            holder = session.transact(partial(store_contested, push=push))
        holders[push.id] = holder


def _give_way(
    session: Session, pushes: Sequence[Push], holders: dict[str, str]
) -> tuple[list[Push], list[Push]]:
    """Find and count the jobs that give way, and note in `holders` which job has the key of each.
    Returns the jobs whose keys are free, and the contested ones. A contested job may replace a job,
    or take the key of a job that is gone. No key is locked: it is enough that another job has the
    key now."""
    keys = {push.unique.key for push in pushes if push.unique}
    results = session.read(
        *(Query(unique_keys.HOLDERS_NOW, (chunk,)) for chunk in in_chunks(sorted(keys)))
    )
    current = unique_keys.holders_in(results)
    taken_keys, free, contested = set(current), list[Push](), list[Push]()
    skipped = CounterIncrements()
    for push in pushes:
        unique = push.unique
        if unique is None or unique.key not in taken_keys:
            free.append(push)
            taken_keys |= {unique.key} if unique else set()
        elif unique.replaces or unique.key not in current or current[unique.key].is_void:
            contested.append(push)
        else:
            holders[push.id] = current[unique.key].id
            skipped.add(push.queue, "skipped")
    if skipped.counts:
        session.transact(lambda tx: tx.later(*skipped.queries(tx.appends)))
    return free, contested


def store_contested(tx: Transaction, push: Push) -> str | None:
    """Store the job, or find out which job it gives way to. Returns the id of the job that has the
    key, or None if the transaction must be repeated."""
    unique = push.unique
    if unique is None:
        _insert(tx, [push], [], {push.queue})
        return push.id
    (answer,) = tx.run(Query(unique_keys.HOLDER, (unique.key,)))
    holder_ids = [to_text(id_) for (id_,) in answer.rows]
    waiting = lock_waiting(tx, holder_ids) if unique.replaces and holder_ids else {}
    tx.run(BatchQuery(unique_keys.TAKE_KEY, [(unique.key, push.id, unique.lasts, unique.lasts)]))
    holder = unique_keys.holder_of(tx, unique.key)
    assert holder is not None  # this transaction has locked the key
    if holder.id == push.id or holder.is_void:
        _store_with_key(tx, push, unique)
        return push.id
    if unique.replaces and holder.id not in holder_ids:
        return None
    if holder.id not in waiting:  # it is running, or is not replaced
        _count(tx, push.queue, "skipped")
        return holder.id
    tx.later(Query(DELETE_JOBS, ([holder.id],)))
    _store_with_key(tx, push, unique)
    close_empty(tx, waiting.values())
    _count(tx, waiting[holder.id].queue, "replaced")
    return push.id


def _store_with_key(tx: Transaction, push: Push, unique: UniqueKey) -> None:
    """Store a job, and give it a key that is locked and may have belonged to another job."""
    args = push.id, unique.lasts, unique.lasts, unique.key
    tx.later(Query(unique_keys.SET_KEY, args), Query(INSERT_JOB, job_row(tx, push)))
    tx.tell([push.queue])


def _count(tx: Transaction, queue: str, counter: str) -> None:
    increments = CounterIncrements()
    increments.add(queue, counter)
    tx.at_end(*increments.queries(tx.appends))
