"""What administrators do with jobs and queues: find, list, retry, forget, cancel and purge."""

from collections.abc import Sequence

from poolq.engines import sanitize
from poolq.engines.base import StoredJob
from poolq.engines.sanitize import number, to_text
from poolq.engines.sql.location import DELAYED, QUEUED, RELEASED, is_line, worker_at
from poolq.engines.sql.parking import HOLD, close_if_empty, locked_lines
from poolq.engines.sql.session import Op, Row, Session, Transaction, cut
from poolq.engines.sql.wakeups import ring

#: A purge deletes at most this many jobs in one transaction, so that nobody waits long for it.
PURGED = 5000
#: How often a cancellation looks for the job, which may be moving from one location to another.
LOOKED = 3

JOB = """SELECT id, queue, place, due_at, taken, {now}, body, attempt, crashes, failing, history
    FROM {jobs} WHERE id = ?"""
WHERE = "SELECT place, queue FROM {jobs} WHERE id = ?"
CANCEL = "DELETE FROM {jobs} WHERE id = ? AND place = ?"
SOME_WAITING = f"""SELECT id FROM {{jobs}} WHERE place = ? AND queue = ?
    ORDER BY due_at, id LIMIT {PURGED} {{skip}}"""
PURGE = "DELETE FROM {jobs} WHERE id IN {list}"

FAILED_ROW = "SELECT id, queue, at, body, attempt, crashes, failing, history FROM {failed} "
FAILED_JOB = FAILED_ROW + "WHERE id = ?"
NEWEST = " ORDER BY at DESC, id DESC LIMIT ?"
FOUND = "SELECT id FROM {failed} WHERE id IN {list} {lock}"
RETRY = """INSERT INTO {jobs} (id, queue, due_at, history, body)
    SELECT id, queue, {now}, x'', body FROM {failed} WHERE id IN {list}"""
FORGET = "DELETE FROM {failed} WHERE id IN {list}"
QUEUES_OF = "SELECT DISTINCT queue FROM {failed} WHERE id IN {list}"


def find(session: Session, id_: str) -> StoredJob | None:
    jobs, failures = session.read(Op(JOB, (id_,)), Op(FAILED_JOB, (id_,)))
    for row in jobs.rows:
        return _stored(row)
    for row in failures.rows:
        return stored_failed(row)
    return None


def _stored(row: Row) -> StoredJob:
    id_, queue, place, due, taken, now, body, *state = row
    place, due, taken = to_text(place), number(due), number(taken)
    worker = worker_at(place)
    if place == QUEUED:
        status, at = "ready", due
    elif place == DELAYED or place.startswith(RELEASED):
        was_due = due if place == DELAYED else taken
        status, at = ("ready", was_due) if due <= now else ("delayed", due)
    else:
        status, at = ("running", taken) if worker else ("parked", due)
    return StoredJob(
        to_text(id_), to_text(queue), status, at, sanitize.blob(body), sanitize.state(state), worker
    )


def cancel(tx: Transaction, id_: str) -> bool:
    """Delete a job that waits. Where it is parked, its line is held first, as by all others."""
    for _ in range(LOOKED):
        row = tx.one(WHERE, id_)
        if row is None or worker_at(to_text(row[0])):
            return False
        place, queue = map(to_text, row)
        if is_line(place):
            tx.later(Op(HOLD, (place, queue)))
        (gone,) = tx.run(Op(CANCEL, (id_, place)))
        if gone.changed and is_line(place):
            close_if_empty(tx, place, queue)
        if gone.changed:
            return True
    return False


def purge_some(tx: Transaction, queue: str) -> int:
    """Delete some of what is ready or delayed; returns how many."""
    return _purge(tx, QUEUED, queue) or _purge(tx, DELAYED, queue)


def purge_lines(tx: Transaction, queue: str) -> int:
    """Delete what is parked, or was released by a limit, with its lines."""
    gone = 0
    for place in locked_lines(tx, queue):
        while some := _purge(tx, place, queue):
            gone += some
        close_if_empty(tx, place, queue)
    return gone


def _purge(tx: Transaction, place: str, queue: str) -> int:
    (found,) = tx.run(Op(SOME_WAITING, (place, queue)))
    ids = [id_ for (id_,) in found.rows]
    tx.later(*(Op(PURGE, (some,)) for some in cut(ids)))
    return len(ids)


def stored_failed(row: Row) -> StoredJob:
    id_, queue, at, body, *state = row
    where = to_text(id_), to_text(queue), "failed", number(at)
    return StoredJob(*where, sanitize.blob(body), sanitize.state(state))


def failed(session: Session, queue: str | None, before: int | None, most: int) -> list[StoredJob]:
    where: list[str] = []
    args: list[object] = []
    if queue is not None:
        where.append("queue = ?")
        args.append(queue)
    if before is not None:
        where.append("at < ?")
        args.append(before)
    clause = f"WHERE {' AND '.join(where)}" if where else ""
    (found,) = session.read(Op(FAILED_ROW + clause + NEWEST, (*args, most)))
    return [stored_failed(row) for row in found.rows]


def retry(tx: Transaction, ids: Sequence[str]) -> list[str]:
    """Failed jobs back to their queues, as if they were new."""
    there: set[str] = set()
    for some in cut(ids):
        found, queues = tx.run(Op(FOUND, (some,)), Op(QUEUES_OF, (some,)))
        mine = [id_ for (id_,) in found.rows]
        if mine:
            tx.later(Op(RETRY, (mine,)), Op(FORGET, (mine,)))
            ring(tx, [to_text(name) for (name,) in queues.rows])
        there.update(mine)
    return [id_ for id_ in dict.fromkeys(ids) if id_ in there]


def forget(tx: Transaction, ids: Sequence[str]) -> list[str]:
    there: set[str] = set()
    for some in cut(ids):
        (found,) = tx.run(Op(FOUND, (some,)))
        mine = [id_ for (id_,) in found.rows]
        if mine:
            tx.later(Op(FORGET, (mine,)))
        there.update(mine)
    return [id_ for id_ in dict.fromkeys(ids) if id_ in there]
