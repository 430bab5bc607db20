"""Nodes and their workers: registered, beating, recovered when they are dead."""

from collections.abc import Sequence
from operator import itemgetter

from poolq.engines.base import DeathReport, NodeRecord, Recovered, Registration
from poolq.engines.sanitize import blob, count, number, to_text
from poolq.engines.sql import limit_reviews
from poolq.engines.sql.job_counters import (
    DELETE_WORKER_COUNTERS,
    WORKER_COUNTERS,
    CounterIncrements,
)
from poolq.engines.sql.location import claimed_by
from poolq.engines.sql.session import BatchQuery, Query, QueryResult, Row, Transaction, in_chunks
from poolq.engines.sql.settling import (
    DELETE_JOBS,
    GIVE_BACK_JOBS,
    RELEASE_JOB,
    SAVE_STATE,
    release_args,
)
from poolq.engines.sql.wakeups import arm
from poolq.jobs.message import MAX_HISTORY, Entry, State, entry

ADD_NODE = "INSERT INTO {nodes} (node, beat, info) VALUES (?, 0, ?) {on:node} node = {new:node}"
#: The later ones are registered at later moments, wherever the clock goes.
ADD_WORKER = """INSERT INTO {workers} (worker, node, host, pool, boot, pidns, pid, started,
    stale, since) SELECT one.*, '', CASE WHEN last.since >= {now} THEN last.since + 1 ELSE {now} END
    FROM (SELECT ? AS a, ? AS b, ? AS c, ? AS d, ? AS e, ? AS f, ? AS g, ? AS h) one,
    (SELECT COALESCE(MAX(since), 0) AS since FROM {workers}) last WHERE 1 = 1
    {on:worker} worker = {new:worker}"""
REGISTERED_WORKERS = """SELECT worker, node, host, pool, boot, pidns, pid, started FROM {workers}
    ORDER BY worker"""
COUNT_BEAT = """INSERT INTO {nodes} (node, beat, info) VALUES (?, 1, ?)
    {on:node} beat = CASE WHEN beat < 2000000000000000000 THEN beat + 1 ELSE 1 END,
    info = {new:info}"""
ALL_BEATS = "SELECT node, beat FROM {nodes}"
ALL_NODES = """SELECT n.node, n.beat, n.info,
    (SELECT COUNT(*) FROM {workers} w WHERE w.node = n.node) FROM {nodes} n ORDER BY n.node"""
LOCK_NODE = "SELECT beat FROM {nodes} WHERE node = ? {lock}"
LOCK_NODE_WORKERS = "SELECT worker FROM {workers} WHERE node = ? ORDER BY worker {lock}"
LOCK_DEAD_WORKER = "SELECT worker, {now} FROM {workers} WHERE worker = ? {lock}"
WORKER_CLAIMS = """SELECT id, request, idx, queue, attempt, crashes, failing, history, reviewed
    FROM {jobs} WHERE place = ?"""
DELETE_WORKER = "DELETE FROM {workers} WHERE worker = ?"
DELETE_NODE = "DELETE FROM {nodes} WHERE node = ?"


def register(tx: Transaction, one: Registration) -> None:
    tx.later(Query(ADD_NODE, (one.node, b"")), Query(ADD_WORKER, one))


def registered(found: QueryResult) -> list[Registration]:
    """The answer to REGISTERED."""
    return [
        Registration._make((*map(to_text, row[:6]), *map(number, row[6:]))) for row in found.rows
    ]


def beat(tx: Transaction, node: str, info: bytes) -> dict[str, int]:
    (found,) = tx.run(Query(COUNT_BEAT, (node, info)), Query(ALL_BEATS))[1:]
    return {to_text(name): number(beats) for name, beats in found.rows}


def nodes(found: QueryResult) -> list[NodeRecord]:
    """The answer to NODES."""
    return [
        NodeRecord(to_text(node), number(beats), blob(info), workers)
        for node, beats, info, workers in found.rows
    ]


def leave(tx: Transaction, node: str) -> None:
    """Forget a node without workers. Locked first: a worker may be registering."""
    (_, found) = tx.run(Query(LOCK_NODE, (node,)), Query(LOCK_NODE_WORKERS, (node,)))
    if not found.rows:
        tx.later(Query(DELETE_NODE, (node,)))


def recover(tx: Transaction, worker: str, death: DeathReport | None) -> Recovered:
    """Forget a worker and give its claims back."""
    found, claims, counters = tx.run(
        Query(LOCK_DEAD_WORKER, (worker,)),
        Query(WORKER_CLAIMS, (claimed_by(worker),)),
        Query(WORKER_COUNTERS, (worker,)),
    )
    if not found.rows:
        return Recovered()
    held = sorted(map(_legible, claims.rows), key=itemgetter(1, 2))  # request, index
    if death is None:
        death = _unknown_death(worker, held, found.rows[0][1])
    done, crashed, back = _sort_claims(held, death)
    # First, as it locks lines.
    limit_reviews.end_reviews_of_dead(tx, [(row[0], row[3], row[8]) for row in held])
    increments = CounterIncrements()
    increments.add_rows(counters)
    for row in done:
        increments.add(to_text(row[3]), "done")
    late = [row for row in crashed if death.timed_out and not row[6]]  # not failing
    for row in crashed:
        state = _state_after(row, death)
        increments.add(to_text(row[3]), "retried" if row in late else "crashed")
        if row in late and death.delay > 0:
            tx.later(Query(RELEASE_JOB, release_args(death.delay, state, row[0])))
        else:
            tx.later(BatchQuery(SAVE_STATE, [(*state, row[0])]), Query(GIVE_BACK_JOBS, ([row[0]],)))
    died = [row for row in crashed if row not in late]
    ids = Recovered(*(tuple(row[0] for row in rows) for rows in (done, died, back, late)))
    tx.later(*(Query(DELETE_JOBS, (some,)) for some in in_chunks(list(ids.done))))
    tx.later(*(Query(GIVE_BACK_JOBS, (some,)) for some in in_chunks(list(ids.returned))))
    arm(tx, {to_text(row[3]) for row in (*crashed, *back)})
    tx.later(Query(DELETE_WORKER_COUNTERS, (worker,)), *increments.queries())
    tx.later(Query(DELETE_WORKER, (worker,)))
    return ids


def reap(tx: Transaction, node: str, beat_: int) -> Recovered | None:
    """Recover a node's workers and forget it, if it has not beaten since."""
    found, workers = tx.run(Query(LOCK_NODE, (node,)), Query(LOCK_NODE_WORKERS, (node,)))
    if not found.rows or number(found.rows[0][0]) != beat_:
        return None
    all_ = [recover(tx, to_text(worker), None) for (worker,) in workers.rows]
    tx.later(Query(DELETE_NODE, (node,)))
    done, crashed, returned = (tuple(id_ for one in all_ for id_ in one[part]) for part in range(3))
    return Recovered(done, crashed, returned)


def _legible(row: Row) -> Row:
    """A claim whose state somebody may have damaged: its job goes on with what can be read."""
    id_, request, index, queue, attempt, crashes, failing, history, reviewed = row
    numbers = map(count, (attempt, crashes, failing))
    return id_, number(request), number(index), queue, *numbers, blob(history), reviewed


def _unknown_death(worker: str, held: Sequence[Row], now: int) -> DeathReport:
    """A death that nobody has told of: the earliest claim is taken to have started."""
    if not held:
        return DeathReport(0, 0, -1, b"")
    _, request, index, _, attempt, *_ = held[0]
    told = Entry(now, "crash", "its worker died; nothing more is known", attempt, worker=worker)
    return DeathReport(request, 0, index, entry(told))


def _sort_claims(held: Sequence[Row], death: DeathReport) -> tuple[list[Row], list[Row], list[Row]]:
    """The claims that were done, that crashed, and that had not begun."""
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
    attempt, crashes, failing, history = row[4:8]
    lines = [*history.splitlines(), death.entry]
    if len(lines) > MAX_HISTORY:
        lines = [lines[0], *lines[1 - MAX_HISTORY :]]
    told = b"\n".join(lines)
    if failing:
        return State(attempt, crashes, failing + 1, told)
    if death.timed_out:
        return State(attempt + 1, crashes, 0, told)
    return State(attempt, crashes + 1, 0, told)
