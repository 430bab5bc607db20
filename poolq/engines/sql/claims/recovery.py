"""Recovers dead workers and nodes: gives their claims back and deletes their registrations."""

from collections.abc import Sequence
from itertools import chain
from operator import itemgetter

from poolq.engines.base import Claim, DeathEnd, DeathReport, Recovered
from poolq.engines.sanitize import blob, count, number, to_text
from poolq.engines.sql import job_counters
from poolq.engines.sql.claims.settling import SettlementBatch
from poolq.engines.sql.claims.stepping import CLAIMS_OF_WORKER, claims_query
from poolq.engines.sql.location import is_cancelled
from poolq.engines.sql.nodes import DELETE_DECLARED, DELETE_NODE, LOCK_NODE, LOCK_NODE_WORKERS
from poolq.engines.sql.session import Query, Row, Transaction
from poolq.jobs.message import INITIAL, Entry, State, entry, with_entry
from poolq.jobs.outcomes import GIVE_BACK, Outcome, Release

LOCK_DEAD_WORKER = "SELECT worker, {now} FROM {workers} WHERE worker = ? {lock}"
WORKER_CLAIMS = f"""SELECT id, request, idx, queue, attempt, crashes, failing, history, place,
    unique_key {CLAIMS_OF_WORKER}"""
#: What becomes of the running job, as a field of Recovered.
FATE_OF_END: dict[DeathEnd, str] = {
    "crash": "crashed", "timeout": "timed_out", "cancelled": "cancelled", "returned": "returned",
}  # fmt: skip
DELETED = ("done", "cancelled")
COUNTER_OF_FATE = {
    "done": "done", "crashed": "crashed", "timed_out": "retried", "cancelled": "cancelled",
}  # fmt: skip
DELETE_ANSWER = """DELETE FROM {answers} WHERE worker = ? AND request = (SELECT request
    FROM {answers} WHERE worker = ? ORDER BY request DESC LIMIT 1)"""
DELETE_WORKER = "DELETE FROM {workers} WHERE worker = ?"


def recover(tx: Transaction, worker: str, death: DeathReport | None) -> Recovered:
    found, claims, counters = tx.run(
        Query(LOCK_DEAD_WORKER, (worker,)),
        claims_query(tx, WORKER_CLAIMS, worker),
        Query(job_counters.WORKER_COUNTERS, (worker,)),
    )
    if not found.rows:
        return Recovered()
    held = sorted(map(_sanitized, claims.rows), key=itemgetter(1, 2))  # request, index
    if death is None:
        death = _unknown_death(worker, held, found.rows[0][1])
    batch = SettlementBatch(job_counters.NO_WORKER, number(found.rows[0][1]), 0)
    batch.increments.add_rows(counters)
    ids: dict[str, list[str]] = {fate: [] for fate in Recovered._fields}
    for row in held:
        fate, was_running = _fate(row, death)
        ids[fate].append(row[0])
        _end(batch, row, fate, death if was_running else None)
    tx.later(Query(DELETE_WORKER, (worker,)))
    if tx.appends:
        tx.later(Query(DELETE_ANSWER, (worker, worker)))
    tx.at_end(Query(job_counters.DELETE_WORKER_COUNTERS, (worker,)))
    batch.write(tx)
    return Recovered(**{fate: tuple(some) for fate, some in ids.items()})


def _end(batch: SettlementBatch, row: Row, fate: str, death: DeathReport | None) -> None:
    """Add the end of a claim. `death`: the worker's death, or None if this job was not running."""
    claim = Claim(row[0], 0, 0, to_text(row[3]), b"", INITIAL, unique_key=row[-1])
    if counter := COUNTER_OF_FATE.get(fate):
        batch.increments.add(claim.queue, counter)
    if fate in DELETED:
        batch.delete(claim)
        batch.woken_queues.add(claim.queue)  # its slots of gates are free now
        return
    outcome: Outcome = GIVE_BACK
    if death is not None:
        state = _state_after(row, death.entry, fate)
        if fate == "timed_out" and death.delay > 0:
            outcome = Release(death.delay, state, "")
        else:
            batch.states.append((*state, claim.id))
    batch.add(claim, outcome)


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
    id_, request, index, queue, attempt, crashes, failing, history, place, unique_key = row
    numbers, cancelled = map(count, (attempt, crashes, failing)), is_cancelled(to_text(place))
    kept = *numbers, blob(history), cancelled, unique_key
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
