"""Recovers dead workers and nodes: ends their claims and deletes their registrations."""

from itertools import chain

from poolq.engines.base import BY_REQUEST, Claim, DeathReport, Recovered
from poolq.engines.sanitize import blob, count, number, to_text
from poolq.engines.sql import job_counters
from poolq.engines.sql.claims.settling import SettlementBatch
from poolq.engines.sql.claims.stepping import CLAIMS_OF_WORKER, claims_query
from poolq.engines.sql.location import is_cancelled
from poolq.engines.sql.nodes import DELETE_DECLARED, DELETE_NODE, LOCK_NODE, LOCK_NODE_WORKERS
from poolq.engines.sql.session import Query, Row, Transaction
from poolq.jobs.ending import after_death, unobserved_death
from poolq.jobs.message import State

LOCK_DEAD_WORKER = "SELECT worker, {now} FROM {workers} WHERE worker = ? {lock}"
WORKER_CLAIMS = f"""SELECT id, request, idx, queue, attempt, crashes, failing, history, effects,
    place {CLAIMS_OF_WORKER}"""
PLACE = -1  # its position in a row
DELETE_ANSWER = """DELETE FROM {answers} WHERE worker = ? AND request = (SELECT request
    FROM {answers} WHERE worker = ? ORDER BY request DESC LIMIT 1)"""
DELETE_WORKER = "DELETE FROM {workers} WHERE worker = ?"


def recover(tx: Transaction, worker: str, death: DeathReport | None) -> Recovered:
    """See `Engine.recover`. All changes of a claim lock the worker's row, as this does; so what is
    read here is still so when it is changed."""
    found, rows, counters = tx.run(
        Query(LOCK_DEAD_WORKER, (worker,)),
        claims_query(tx, WORKER_CLAIMS, worker),
        Query(job_counters.WORKER_COUNTERS, (worker,)),
    )
    if not found.rows:
        return Recovered()
    now = number(found.rows[0][1])
    claims = sorted(map(_claim, rows.rows), key=BY_REQUEST)
    death = death or unobserved_death(worker, claims[0] if claims else None, now)
    cancelled = {row[0] for row in rows.rows if is_cancelled(to_text(row[PLACE]))}
    ends = [(claim, after_death(claim, claim.id in cancelled, death)) for claim in claims]
    batch = SettlementBatch(job_counters.NO_WORKER, now, 0)
    batch.increments.add_rows(counters)
    for claim, (_, outcome) in ends:
        batch.add(claim, outcome)
        batch.woken_queues.add(claim.queue)  # slots of gates are free now
    tx.later(Query(DELETE_WORKER, (worker,)))
    if tx.appends:
        tx.later(Query(DELETE_ANSWER, (worker, worker)))
    tx.at_end(Query(job_counters.DELETE_WORKER_COUNTERS, (worker,)))
    batch.write(tx)
    return Recovered.of((claim.id, end) for claim, end in ends)


def reap(tx: Transaction, node: str, beat_: int) -> Recovered | None:
    """Recover a node's workers and delete it. Returns None if its counter is no longer `beat_`."""
    found, workers = tx.run(Query(LOCK_NODE, (node,)), Query(LOCK_NODE_WORKERS, (node,)))
    if not found.rows or number(found.rows[0][0]) != beat_:
        return None
    all_ = [recover(tx, to_text(worker), None) for (worker,) in workers.rows]
    tx.later(Query(DELETE_NODE, (node,)), Query(DELETE_DECLARED, (node,)))
    return Recovered(*(tuple(chain.from_iterable(some)) for some in zip(*all_, strict=True)))


def _claim(row: Row) -> Claim:
    """Return a claim with its state, as far as the state can be read."""
    id_, request, index, queue, attempt, crashes, failing, history, effects, _ = row
    state = State(count(attempt), count(crashes), count(failing), blob(history))
    where = id_, number(request), number(index), to_text(queue)
    return Claim(*where, b"", state, effects=blob(effects))
