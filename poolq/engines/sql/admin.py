"""Administration of jobs and queues: find, list, retry, forget, cancel and purge."""

from collections.abc import Sequence

from poolq.engines import sanitize
from poolq.engines.base import StoredJob
from poolq.engines.sanitize import number, to_text
from poolq.engines.sql.location import DELAYED, QUEUED, RELEASED_PREFIX, is_line, worker_at
from poolq.engines.sql.parking import LOCK_LINE, close_if_empty, lock_lines
from poolq.engines.sql.session import Query, Row, Session, Transaction, in_chunks
from poolq.engines.sql.settling import DELETE_JOBS
from poolq.engines.sql.wakeups import arm

#: A purge deletes at most this many jobs per transaction, because it blocks other transactions.
MAX_PURGED = 5000
#: How often a cancellation tries to find the job, which may move before it is deleted.
CANCEL_ATTEMPTS = 3

FIND_JOB = """SELECT id, queue, place, due_at, taken, {now}, body, attempt, crashes, failing,
    history FROM {jobs} WHERE id = ?"""
FIND_LOCATION = "SELECT place, queue FROM {jobs} WHERE id = ?"
DELETE_JOB_AT = "DELETE FROM {jobs} WHERE id = ? AND place = ?"
FIRST_WAITING = f"""SELECT id FROM {{jobs}} WHERE place = ? AND queue = ?
    ORDER BY due_at, id LIMIT {MAX_PURGED} {{skip}}"""

SELECT_FAILED = "SELECT id, queue, at, body, attempt, crashes, failing, history FROM {failed} "
FIND_FAILED = SELECT_FAILED + "WHERE id = ?"
NEWEST_FIRST = " ORDER BY at DESC, id DESC LIMIT ?"
LOCK_FAILED = "SELECT id FROM {failed} WHERE id IN {list} {lock}"
RETRY_FAILED = """INSERT INTO {jobs} (id, queue, due_at, history, body)
    SELECT id, queue, {now}, x'', body FROM {failed} WHERE id IN {list}"""
DELETE_FAILED = "DELETE FROM {failed} WHERE id IN {list}"
QUEUES_OF_FAILED = "SELECT DISTINCT queue FROM {failed} WHERE id IN {list}"


def find(session: Session, id_: str) -> StoredJob | None:
    jobs, failures = session.read(Query(FIND_JOB, (id_,)), Query(FIND_FAILED, (id_,)))
    for row in jobs.rows:
        return _stored(row)
    for row in failures.rows:
        return _stored_failed(row)
    return None


def _stored(row: Row) -> StoredJob:
    id_, queue, place, due, taken, now, body, *state = row
    place, due, taken = to_text(place), number(due), number(taken)
    worker = worker_at(place)
    if place == QUEUED:
        status, at = "ready", due
    elif place == DELAYED or place.startswith(RELEASED_PREFIX):
        was_due = due if place == DELAYED else taken
        status, at = ("ready", was_due) if due <= now else ("delayed", due)
    else:
        status, at = ("running", taken) if worker else ("parked", due)
    where = to_text(id_), to_text(queue), status, at
    return StoredJob(*where, sanitize.blob(body), sanitize.state(state), worker)


def cancel(tx: Transaction, id_: str) -> bool:
    """Delete a waiting job. Its line, if any, is locked first. Returns whether there was a job."""
    for _ in range(CANCEL_ATTEMPTS):
        row = tx.one(FIND_LOCATION, id_)
        if row is None or worker_at(to_text(row[0])):
            return False
        place, queue = map(to_text, row)
        if is_line(place):
            tx.later(Query(LOCK_LINE, (place, queue)))
        (gone,) = tx.run(Query(DELETE_JOB_AT, (id_, place)))
        if gone.changed and is_line(place):
            close_if_empty(tx, place, queue)
        if gone.changed:
            return True
    return False


def purge_some(tx: Transaction, queue: str) -> int:
    """Delete some of the queue's ready or delayed jobs. Returns how many were deleted."""
    return _purge(tx, QUEUED, queue) or _purge(tx, DELAYED, queue)


def purge_lines(tx: Transaction, queue: str) -> int:
    """Delete the queue's parked and released jobs, and their lines. Returns the number of jobs."""
    gone = 0
    for place in lock_lines(tx, queue):
        while some := _purge(tx, place, queue):
            gone += some
        close_if_empty(tx, place, queue)
    return gone


def _purge(tx: Transaction, place: str, queue: str) -> int:
    (found,) = tx.run(Query(FIRST_WAITING, (place, queue)))
    ids = [id_ for (id_,) in found.rows]
    tx.later(*(Query(DELETE_JOBS, (some,)) for some in in_chunks(ids)))
    return len(ids)


def _stored_failed(row: Row) -> StoredJob:
    id_, queue, at, body, *state = row
    where = to_text(id_), to_text(queue), "failed", number(at)
    return StoredJob(*where, sanitize.blob(body), sanitize.state(state))


def failed(
    session: Session, queue: str | None, before: int | None, max_count: int
) -> list[StoredJob]:
    where: list[str] = []
    args: list[object] = []
    if queue is not None:
        where.append("queue = ?")
        args.append(queue)
    if before is not None:
        where.append("at < ?")
        args.append(before)
    clause = f"WHERE {' AND '.join(where)}" if where else ""
    (found,) = session.read(Query(SELECT_FAILED + clause + NEWEST_FIRST, (*args, max_count)))
    return [_stored_failed(row) for row in found.rows]


def retry(tx: Transaction, ids: Sequence[str]) -> list[str]:
    """Put failed jobs back into their queues as new jobs. Returns the ids that were found."""
    there: set[str] = set()
    for some in in_chunks(ids):
        found, queues = tx.run(Query(LOCK_FAILED, (some,)), Query(QUEUES_OF_FAILED, (some,)))
        mine = [id_ for (id_,) in found.rows]
        if mine:
            tx.later(Query(RETRY_FAILED, (mine,)), Query(DELETE_FAILED, (mine,)))
            arm(tx, [to_text(name) for (name,) in queues.rows])
        there.update(mine)
    return [id_ for id_ in dict.fromkeys(ids) if id_ in there]


def forget(tx: Transaction, ids: Sequence[str]) -> list[str]:
    """Delete failed jobs. Returns the ids that were found."""
    there: set[str] = set()
    for some in in_chunks(ids):
        (found,) = tx.run(Query(LOCK_FAILED, (some,)))
        mine = [id_ for (id_,) in found.rows]
        if mine:
            tx.later(Query(DELETE_FAILED, (mine,)))
        there.update(mine)
    return [id_ for id_ in dict.fromkeys(ids) if id_ in there]
