"""Administration of jobs: find, list, retry, forget, cancel, move and purge."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from poolq.engines import sanitize
from poolq.engines.base import StoredJob
from poolq.engines.sanitize import number, to_text
from poolq.engines.sql import effects
from poolq.engines.sql.claims.settling import DELETE_JOBS
from poolq.engines.sql.effects import EffectChanges
from poolq.engines.sql.job_counters import CounterIncrements
from poolq.engines.sql.limits.parking import DELETE_LINE, HAS_JOBS, LOCK_LINE, OPEN_RELEASED_LINE
from poolq.engines.sql.location import (
    DELAYED,
    PARKED_PREFIX,
    QUEUED,
    RELEASED_PREFIX,
    RETURNED,
    is_line,
    limit_at,
    worker_at,
)
from poolq.engines.sql.queues.wakeups import ADD_QUEUE, wake
from poolq.engines.sql.session import BatchQuery, Query, Row, Session, Transaction, in_chunks
from poolq.jobs.unique import stored_key

#: The most jobs that one transaction changes. While it runs, it blocks other transactions.
MAX_CHANGED = 5000
#: How often `lock_waiting` tries to lock jobs if other transactions move them at the same time.
LOCK_ATTEMPTS = 3
#: Stands for the head of a queue, before all due times.
HEAD = -(2**63)

STATE_COLUMNS = "body, attempt, crashes, failing, history, effects"
SELECT_JOB = (
    f"SELECT id, queue, place, due_at, taken, {{now}}, expires_at, {STATE_COLUMNS} FROM {{jobs}} "
)
FIND_JOB = SELECT_JOB + "WHERE id = ?"
LOCATIONS = "SELECT id, place, queue, due_at, effects FROM {jobs} {by_id} WHERE id {in_list}"
LOCK_LOCATIONS = LOCATIONS + " {lock}"
MOVE_JOBS = """UPDATE {jobs} SET queue = ?, lasts = 0
    {returned:, place = CASE WHEN place = '' OR (place = 'd' AND due_at <= {now})
        THEN 'b' ELSE place END}
    WHERE id {in_list}"""
MOVE_PARKED = """UPDATE {jobs} SET queue = ?, place = '{returned:b}', lasts = 0, rules = NULL
    WHERE id {in_list}"""
LINES_LIMIT = "SELECT name, span, most FROM {lines} WHERE place = ? AND queue = ?"
READY_JOBS = f"""SELECT id, due_at FROM {{jobs}} {{turn}} WHERE place = '' AND queue = ?
    AND due_at >= ? ORDER BY due_at, {{ordering:id}} LIMIT {MAX_CHANGED}"""
RETURNED_JOBS, DELAYED_JOBS = (
    READY_JOBS.replace("place = ''", f"place = '{place}'") for place in (RETURNED, DELAYED)
)
JOBS_IN_LINES = f"""SELECT j.id, 0 FROM {{lines}} l
    JOIN {{jobs}} j {{turn}} ON j.place = l.place || '' AND j.queue = l.queue
    WHERE {{ordering:l.queue}} = ? AND j.due_at + 0 >= ? LIMIT {MAX_CHANGED}"""

SELECT_FAILED = f"SELECT id, queue, at, {STATE_COLUMNS} FROM {{failed}} "
FIND_FAILED = SELECT_FAILED + "WHERE id = ?"
NEWEST_FIRST = " ORDER BY at DESC, {ordering:id} DESC LIMIT ?"
LOCK_FAILED = "SELECT id, effects FROM {failed} WHERE id {in_list} {lock}"
RETRY_FAILED = """INSERT INTO {jobs} (id, queue, due_at, history, expires_at, body, effects)
    SELECT id, queue, {now}, {no_bytes}, {now} + expires, body, effects FROM {failed}
    WHERE id {in_list}"""
DELETE_FAILED = "DELETE FROM {failed} WHERE id {in_list}"
REPLACE_EXPIRES = "UPDATE {failed} SET expires = ? WHERE id = ?"
REPLACE_BODY = "UPDATE {failed} SET body = ? WHERE id = ?"
MOVE_FAILED = "UPDATE {failed} SET queue = ? WHERE id {in_list}"
QUEUES_OF_FAILED = "SELECT DISTINCT queue FROM {failed} WHERE id {in_list}"


def find(session: Session, id_: str) -> StoredJob | None:
    find_job = Query(FIND_JOB, (id_,))
    # If a failed job is retried meanwhile, the first two queries may miss it. The third finds it.
    jobs, failures, again = session.read(find_job, Query(FIND_FAILED, (id_,)), find_job)
    for read, found in ((stored, jobs), (stored_failed, failures), (stored, again)):
        for row in found.rows:
            job = read(row)
            return job._replace(holder=effects.holder(session, row[-1])) if row[-1] else job
    return None


def stored(row: Row) -> StoredJob:
    id_, queue, place, due, taken, now, expires_at, body, *state, tied = row
    place, due, taken = to_text(place), number(due), number(taken)
    worker = worker_at(place)
    if place in (QUEUED, RETURNED):
        status, at = "ready", due
    elif place == DELAYED or place.startswith(RELEASED_PREFIX):
        was_due = due if place == DELAYED else taken
        status, at = ("ready", was_due) if due <= now else ("delayed", due)
    else:
        status, at = ("running", taken) if worker else ("parked", due)
    where = to_text(id_), to_text(queue), status, at
    limit = "" if status == "ready" else limit_at(place)
    kept = sanitize.blob(body), sanitize.state(state)
    return StoredJob(*where, *kept, worker, limit, stored_key(tied), expires_at=number(expires_at))


class Location(NamedTuple):
    place: str
    queue: str
    due: int
    effects: object = None


def cancel(tx: Transaction, ids: Sequence[str], queue: str | None = None) -> list[str]:
    """Delete waiting jobs, if they are in this queue (None: any). Returns the ids that were found.
    The counter of cancelled jobs is increased last, because that locks it."""
    there = lock_waiting(tx, ids)
    there = {id_: at for id_, at in there.items() if queue in (None, at.queue)}
    tx.later(*(Query(DELETE_JOBS, (some,)) for some in in_chunks(list(there))))
    close_empty(tx, there.values())
    changes = EffectChanges()
    for id_, location in there.items():
        changes.finish(location.effects, id_)
    changes.write(tx)
    increments = CounterIncrements()
    increments.add_many(Counter([at.queue for at in there.values()]), "cancelled")
    tx.at_end(*increments.queries(tx.appends))
    return _in_order(ids, there)


def move(tx: Transaction, ids: Sequence[str], queue: str) -> list[str]:
    """Move waiting and failed jobs to a queue. Returns the ids that were found."""
    there = lock_waiting(tx, ids)
    leaving = {id_: at for id_, at in there.items() if at.queue != queue}
    parked = [id_ for id_, at in leaving.items() if at.place.startswith(PARKED_PREFIX)]
    others = sorted(set(leaving) - set(parked))
    failed_ids = list(_lock_failed(tx, [id_ for id_ in ids if id_ not in there]))
    if leaving or failed_ids:
        tx.later(Query(ADD_QUEUE, (queue,)))
    _open_released_lines(tx, leaving.values(), queue)
    tx.later(*(Query(MOVE_PARKED, (queue, some)) for some in in_chunks(parked)))
    tx.later(*(Query(MOVE_JOBS, (queue, some)) for some in in_chunks(others)))
    close_empty(tx, leaving.values())
    tx.later(*(Query(MOVE_FAILED, (queue, some)) for some in in_chunks(failed_ids)))
    wake(tx, [queue])
    return _in_order(ids, {*there, *failed_ids})


def _in_order(ids: Sequence[str], there: Collection[str]) -> list[str]:
    return [id_ for id_ in dict.fromkeys(ids) if id_ in there]


def lock_waiting(tx: Transaction, ids: Sequence[str]) -> dict[str, Location]:
    """Lock the wait lists (rows of `lines`) that these jobs are in, then the jobs. Returns the
    locations of those that are not running."""
    found: dict[str, Location] = {}
    lines: set[tuple[str, str]] = set()
    rest = sorted(set(ids))
    for _ in range(LOCK_ATTEMPTS):
        new = {(at.place, at.queue) for at in _locations(tx, LOCATIONS, rest).values()} - lines
        new = {line for line in new if is_line(line[0])}
        tx.run(*(Query(LOCK_LINE, line) for line in sorted(new)))
        lines |= new
        locked = _locations(tx, LOCK_LOCATIONS, rest)
        rest = []
        for id_, at in locked.items():
            if is_line(at.place) and (at.place, at.queue) not in lines:
                rest.append(id_)  # it has moved to a line since its location was read
            else:
                found[id_] = at
        if not rest:
            break
    return found


def _locations(tx: Transaction, sql: str, ids: Sequence[str]) -> dict[str, Location]:
    """Return the locations of these jobs, without those that are running."""
    results = tx.run(*(Query(sql, (some,)) for some in in_chunks(ids)))
    rows = [
        (to_text(id_), to_text(place), *rest) for one in results for id_, place, *rest in one.rows
    ]
    return {
        id_: Location(place, to_text(queue), number(due), tied)
        for id_, place, queue, due, tied in rows
        if not worker_at(place)
    }


def _open_released_lines(tx: Transaction, leaving: Collection[Location], queue: str) -> None:
    """Limits have released some of the leaving jobs: open these limits' lines in the new queue."""
    ends: dict[tuple[str, str], int] = {}
    for place, old, due, _ in leaving:
        if place.startswith(RELEASED_PREFIX):
            ends[place, old] = min(due, ends.get((place, old), due))
    found = tx.run(*(Query(LINES_LIMIT, line) for line in ends))
    rows = [
        (place, queue, end, *limit)
        for ((place, _), end), result in zip(ends.items(), found, strict=True)
        for limit in result.rows
    ]
    if rows:
        tx.later(BatchQuery(OPEN_RELEASED_LINE, sorted(rows)))


def close_empty(tx: Transaction, left: Iterable[Location]) -> None:
    """Delete the lines among these locations that have no jobs any more."""
    lines = sorted({(at.place, at.queue) for at in left if is_line(at.place)})
    found = tx.run(*(Query(HAS_JOBS, line) for line in lines))
    empty = [line for line, result in zip(lines, found, strict=True) if not result.rows]
    tx.later(*(Query(DELETE_LINE, line) for line in empty))


def purge(session: Session, queue: str) -> Iterator[int]:
    """Cancel the jobs that wait in a queue, first those in lines. After each transaction, yields
    how many jobs it has cancelled. Each search begins at the due time where the last one ended. At
    the head, it would skip all deleted jobs again, which InnoDB keeps in the index for a while."""
    for sql in (JOBS_IN_LINES, READY_JOBS, RETURNED_JOBS, DELAYED_JOBS):
        since = HEAD
        while True:
            rows = session.read(Query(sql, (queue, since)))[0].rows
            work = partial(cancel, ids=[to_text(id_) for id_, _ in rows], queue=queue)
            gone = len(session.transact(work)) if rows else 0
            if gone:
                yield gone
            elif since == HEAD:
                break
            # If nothing was cancelled, search at the head again: jobs may have come back there.
            since = number(rows[-1][1]) if gone else HEAD


def stored_failed(row: Row) -> StoredJob:
    id_, queue, at, body, *state, tied = row
    where = to_text(id_), to_text(queue), "failed", number(at)
    kept = sanitize.blob(body), sanitize.state(state)
    return StoredJob(*where, *kept, unique=stored_key(tied))


def retry(
    tx: Transaction, ids: Sequence[str], bodies: Mapping[str, bytes], expires: Mapping[str, int]
) -> list[str]:
    """Put failed jobs back into their queues as new jobs. If another job has its unique key, a job
    stays failed. Returns the ids of the jobs that were put back."""
    locked = _lock_failed(tx, ids)
    stay = effects.take_for_retry(tx, {id_: locked[id_] for id_ in sorted(locked)})
    there = [id_ for id_ in locked if id_ not in stay]
    replaced = [(bodies[id_], id_) for id_ in there if id_ in bodies]
    if replaced:
        tx.later(BatchQuery(REPLACE_BODY, replaced))
    spans = [(expires[id_] or None, id_) for id_ in there if id_ in bodies and id_ in expires]
    if spans:
        tx.later(BatchQuery(REPLACE_EXPIRES, spans))
    queues: set[str] = set()
    for some in in_chunks(there):
        (names,) = tx.run(Query(QUEUES_OF_FAILED, (some,)))
        queues |= {to_text(name) for (name,) in names.rows}
        tx.later(Query(RETRY_FAILED, (some,)), Query(DELETE_FAILED, (some,)))
    wake(tx, queues)
    return _in_order(ids, set(there))


def forget(tx: Transaction, ids: Sequence[str]) -> list[str]:
    """Delete failed jobs. Returns the ids that were found."""
    there = _lock_failed(tx, ids)
    tx.later(*(Query(DELETE_FAILED, (some,)) for some in in_chunks(list(there))))
    changes = EffectChanges()
    for id_, stored_effects in there.items():
        changes.finish(stored_effects, id_)
    changes.write(tx)
    return _in_order(ids, set(there))


def _lock_failed(tx: Transaction, ids: Sequence[str]) -> dict[str, object]:
    """Of these jobs, lock those that have failed. Returns their effects by id."""
    found = tx.run(*(Query(LOCK_FAILED, (some,)) for some in in_chunks(ids)))
    return {to_text(id_): tied for one in found for id_, tied in one.rows}
