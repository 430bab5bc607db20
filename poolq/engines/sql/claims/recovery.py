"""Recovers dead workers and nodes: gives their claims back and deletes their registrations."""

from collections.abc import Sequence
from itertools import chain
from operator import itemgetter

from poolq.engines.base import DeathEnd, DeathReport, Recovered
from poolq.engines.sanitize import blob, count, number, to_text
from poolq.engines.sql import job_counters
from poolq.engines.sql.claims import settling
from poolq.engines.sql.location import cancelled_at, claimed_by, is_cancelled
from poolq.engines.sql.nodes import DELETE_DECLARED, DELETE_NODE, LOCK_NODE, LOCK_NODE_WORKERS
from poolq.engines.sql.queues.wakeups import arm
from poolq.engines.sql.session import BatchQuery, Query, Row, Transaction, in_chunks
from poolq.engines.sql.unique_keys import KeyChanges
from poolq.jobs.message import Entry, State, entry, with_entry

LOCK_DEAD_WORKER = "SELECT worker, {now} FROM {workers} WHERE worker = ? {lock}"
WORKER_CLAIMS = """SELECT id, request, idx, queue, attempt, crashes, failing, history, place,
    ties FROM {jobs} WHERE place IN (?, ?)"""
#: What becomes of the running job, as a field of Recovered.
FATE_OF_END: dict[DeathEnd, str] = {
    "crash": "crashed", "timeout": "timed_out", "cancelled": "cancelled", "returned": "returned",
}  # fmt: skip
DELETED = ("done", "cancelled")
COUNTER_OF_FATE = {
    "done": "done", "crashed": "crashed", "timed_out": "retried", "cancelled": "cancelled",
}  # fmt: skip
DELETE_WORKER = "DELETE FROM {workers} WHERE worker = ?"


def recover(tx: Transaction, worker: str, death: DeathReport | None) -> Recovered:
    claims_query = Query(WORKER_CLAIMS, (claimed_by(worker), cancelled_at(worker)))
    found, claims, counters = tx.run(
        Query(LOCK_DEAD_WORKER, (worker,)),
        claims_query,
        Query(job_counters.WORKER_COUNTERS, (worker,)),
    )
    if not found.rows:
        return Recovered()
    held = sorted(map(_sanitized, claims.rows), key=itemgetter(1, 2))  # request, index
    if death is None:
        death = _unknown_death(worker, held, found.rows[0][1])
    increments = job_counters.CounterIncrements()
    increments.add_rows(counters)
    ids: dict[str, list[str]] = {fate: [] for fate in Recovered._fields}
    given_back: list[str] = []
    woken_queues: set[str] = set()
    keys = KeyChanges()
    for row in held:
        id_, queue = row[0], to_text(row[3])
        fate, was_running = _fate(row, death)
        ids[fate].append(id_)
        if counter := COUNTER_OF_FATE.get(fate):
            increments.add(queue, counter)
        woken_queues.add(queue)  # also for a deleted job, whose slots of gates are free now
        if fate in DELETED:
            keys.free(row[-1], id_)
            continue
        keys.take_again(row[-1], id_)
        if not was_running:
            given_back.append(id_)
            continue
        state = _state_after(row, death.entry, fate)
        if fate == "timed_out" and death.delay > 0:
            tx.later(Query(settling.RELEASE_JOB, settling.release_args(death.delay, state, id_)))
        else:
            given_back.append(id_)
            tx.later(BatchQuery(settling.SAVE_STATE, [(*state, id_)]))
    deleted = [id_ for fate in DELETED for id_ in ids[fate]]
    tx.later(*(Query(settling.DELETE_JOBS, (some,)) for some in in_chunks(deleted)))
    tx.later(*(Query(settling.GIVE_BACK_JOBS, (some,)) for some in in_chunks(given_back)))
    arm(tx, woken_queues)
    tx.later(Query(DELETE_WORKER, (worker,)))
    keys.write(tx)
    tx.at_end(Query(job_counters.DELETE_WORKER_COUNTERS, (worker,)), *increments.queries())
    return Recovered(**{fate: tuple(some) for fate, some in ids.items()})


def reap(tx: Transaction, node: str, beat_: int) -> Recovered | None:
    """Recover a node's workers and delete it. Returns None if its counter is no longer `beat_`."""
    found, workers = tx.run(Query(LOCK_NODE, (node,)), Query(LOCK_NODE_WORKERS, (node,)))
    if not found.rows or number(found.rows[0][0]) != beat_:
        return None
    all_ = [recover(tx, to_text(worker), None) for (worker,) in workers.rows]
    tx.later(Query(DELETE_NODE, (node,)), Query(DELETE_DECLARED, (node,)))
    return Recovered(*(tuple(chain.from_iterable(some)) for some in zip(*all_, strict=True)))


def _sanitized(row: Row) -> Row:
    """Return a claim with its state, as far as the state can be read."""
    id_, request, index, queue, attempt, crashes, failing, history, place, ties = row
    numbers, cancelled = map(count, (attempt, crashes, failing)), is_cancelled(to_text(place))
    kept = *numbers, blob(history), cancelled, ties
    return id_, number(request), number(index), queue, *kept


def _unknown_death(worker: str, held: Sequence[Row], now: int) -> DeathReport:
    """Make a report of an unobserved death. It assumes that the earliest claim had started."""
    if not held:
        return DeathReport(0, 0, -1, b"")
    _, request, index, *_ = held[0]
    crash = Entry(now, "crash", "its worker died; nothing more is known", worker=worker)
    return DeathReport(request, 0, index, entry(crash))


def _fate(row: Row, death: DeathReport) -> tuple[str, bool]:
    """Return what becomes of a claim, as a field of Recovered, and whether its job was running."""
    _, request, index, _, _, _, failing, *_, cancelled, _ = row
    known = request == death.request
    if known and death.settled <= index < death.finished:
        return "done", False
    if cancelled:
        return "cancelled", False
    if not known or index != death.started:
        return "returned", False
    late_hook = failing and death.end == "timeout"
    return ("crashed" if late_hook else FATE_OF_END[death.end]), True


def _state_after(row: Row, line: bytes, fate: str) -> State:
    """Return the state of a job that was running. `line` is added to its history."""
    attempt, crashes, failing, history = row[4:8]
    history = with_entry(history, line)
    if fate == "timed_out":
        return State(attempt + 1, crashes, 0, history)
    if fate == "crashed" and failing:
        return State(attempt, crashes, failing + 1, history)
    return State(attempt, crashes + (fate == "crashed"), failing, history)
