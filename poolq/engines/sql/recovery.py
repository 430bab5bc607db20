"""Recovers dead workers and nodes: gives their claims back and deletes their registrations."""

from collections.abc import Sequence
from operator import itemgetter

from poolq.engines.base import DeathReport, Recovered
from poolq.engines.sanitize import blob, count, number, to_text
from poolq.engines.sql import job_counters, limit_reviews, settling
from poolq.engines.sql.location import claimed_by
from poolq.engines.sql.nodes import DELETE_NODE, LOCK_NODE, LOCK_NODE_WORKERS
from poolq.engines.sql.session import BatchQuery, Query, Row, Transaction, in_chunks
from poolq.engines.sql.wakeups import arm
from poolq.jobs.message import Entry, State, entry, with_entry

LOCK_DEAD_WORKER = "SELECT worker, {now} FROM {workers} WHERE worker = ? {lock}"
WORKER_CLAIMS = """SELECT id, request, idx, queue, attempt, crashes, failing, history, reviewed
    FROM {jobs} WHERE place = ?"""
DELETE_WORKER = "DELETE FROM {workers} WHERE worker = ?"


def recover(tx: Transaction, worker: str, death: DeathReport | None) -> Recovered:
    claims_query = Query(WORKER_CLAIMS, (claimed_by(worker),))
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
    done, crashed, back = _sort_claims(held, death)
    # This comes first, because it locks lines (see `parking.bring_back`).
    limit_reviews.end_reviews_of_dead(tx, [(row[0], row[3], row[8]) for row in held])
    increments = job_counters.CounterIncrements()
    increments.add_rows(counters)
    for row in done:
        increments.add(to_text(row[3]), "done")
    late = [row for row in crashed if death.timed_out and not row[6]]  # not failing
    for row in crashed:
        state = _state_after(row, death)
        increments.add(to_text(row[3]), "retried" if row in late else "crashed")
        if row in late and death.delay > 0:
            tx.later(Query(settling.RELEASE_JOB, settling.release_args(death.delay, state, row[0])))
        else:
            tx.later(
                BatchQuery(settling.SAVE_STATE, [(*state, row[0])]),
                Query(settling.GIVE_BACK_JOBS, ([row[0]],)),
            )
    died = [row for row in crashed if row not in late]
    ids = Recovered(*(tuple(row[0] for row in rows) for rows in (done, died, back, late)))
    tx.later(*(Query(settling.DELETE_JOBS, (some,)) for some in in_chunks(list(ids.done))))
    tx.later(*(Query(settling.GIVE_BACK_JOBS, (some,)) for some in in_chunks(list(ids.returned))))
    arm(tx, {to_text(row[3]) for row in (*crashed, *back)})
    tx.later(Query(job_counters.DELETE_WORKER_COUNTERS, (worker,)), *increments.queries())
    tx.later(Query(DELETE_WORKER, (worker,)))
    return ids


def reap(tx: Transaction, node: str, beat_: int) -> Recovered | None:
    """Recover a node's workers and delete it. Returns None if its counter is no longer `beat_`."""
    found, workers = tx.run(Query(LOCK_NODE, (node,)), Query(LOCK_NODE_WORKERS, (node,)))
    if not found.rows or number(found.rows[0][0]) != beat_:
        return None
    all_ = [recover(tx, to_text(worker), None) for (worker,) in workers.rows]
    tx.later(Query(DELETE_NODE, (node,)))
    done, crashed, returned = (tuple(id_ for one in all_ for id_ in one[part]) for part in range(3))
    return Recovered(done, crashed, returned)


def _sanitized(row: Row) -> Row:
    """Return a claim with its state, as far as the state can be read."""
    id_, request, index, queue, attempt, crashes, failing, history, reviewed = row
    numbers = map(count, (attempt, crashes, failing))
    return id_, number(request), number(index), queue, *numbers, blob(history), reviewed


def _unknown_death(worker: str, held: Sequence[Row], now: int) -> DeathReport:
    """Make a report of an unobserved death. It assumes that the earliest claim had started."""
    if not held:
        return DeathReport(0, 0, -1, b"")
    _, request, index, *_ = held[0]
    crash = Entry(now, "crash", "its worker died; nothing more is known", worker=worker)
    return DeathReport(request, 0, index, entry(crash))


def _sort_claims(held: Sequence[Row], death: DeathReport) -> tuple[list[Row], list[Row], list[Row]]:
    """Return the claims that were done, those that crashed, and those that had not started."""
    done, crashed, back = [], [], []
    for row in held:
        _, request, index, *_ = row
        known = request == death.request
        if request == death.before or (known and death.settled <= index < death.finished):
            done.append(row)
        elif known and index == death.started:
            crashed.append(row)
        else:
            back.append(row)
    return done, crashed, back


def _state_after(row: Row, death: DeathReport) -> State:
    """Return the state of a job that crashed or timed out."""
    attempt, crashes, failing, history = row[4:8]
    history = with_entry(history, death.entry)
    if failing:
        return State(attempt, crashes, failing + 1, history)
    if death.timed_out:
        return State(attempt + 1, crashes, 0, history)
    return State(attempt, crashes + 1, 0, history)
