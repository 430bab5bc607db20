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
    for read, answer in ((stored, jobs), (stored_failed, failures), (stored, again)):
        for row in answer.rows:
            job = read(row)
            return job._replace(holder=effects.holder(session, row[-1])) if row[-1] else job
    return None


def stored(row: Row) -> StoredJob:
    id_, queue, place, due, taken_at, now, expires_at, body, *state, tied = row
    place, due, taken_at = to_text(place), number(due), number(taken_at)
    worker = worker_at(place)
    if place in (QUEUED, RETURNED):
        status, time = "ready", due
    elif place == DELAYED or place.startswith(RELEASED_PREFIX):
        was_due = due if place == DELAYED else taken_at
        status, time = ("ready", was_due) if due <= now else ("delayed", due)
    else:
        status, time = ("running", taken_at) if worker else ("parked", due)
    fields = to_text(id_), to_text(queue), status, time
    limit = "" if status == "ready" else limit_at(place)
    contents = sanitize.blob(body), sanitize.state(state)
    return StoredJob(
        *fields, *contents, worker, limit, stored_key(tied), expires_at=number(expires_at)
    )


class Location(NamedTuple):
    place: str
    queue: str
    due: int
    effects: object = None


def cancel(tx: Transaction, ids: Sequence[str], queue: str | None = None) -> list[str]:
    """Delete waiting jobs, if they are in this queue (None: any). Returns the ids that were found.
    Increasing the counter of cancelled jobs locks it, so this is done last."""
    locations = lock_waiting(tx, ids)
    locations = {
        id_: location for id_, location in locations.items() if queue in (None, location.queue)
    }
    tx.later(*(Query(DELETE_JOBS, (chunk,)) for chunk in in_chunks(list(locations))))
    close_empty(tx, locations.values())
    changes = EffectChanges()
    for id_, location in locations.items():
        changes.finish(location.effects, id_)
    changes.write(tx)
    increments = CounterIncrements()
    increments.add_many(Counter([location.queue for location in locations.values()]), "cancelled")
    tx.at_end(*increments.queries(tx.appends))
    return _in_order(ids, locations)


def move(tx: Transaction, ids: Sequence[str], queue: str) -> list[str]:
    """Move waiting and failed jobs to a queue. Returns the ids that were found."""
    locations = lock_waiting(tx, ids)
    leaving = {id_: location for id_, location in locations.items() if location.queue != queue}
    parked = [id_ for id_, location in leaving.items() if location.place.startswith(PARKED_PREFIX)]
    unparked = sorted(set(leaving) - set(parked))
    failed_ids = list(_lock_failed(tx, [id_ for id_ in ids if id_ not in locations]))
    if leaving or failed_ids:
        tx.later(Query(ADD_QUEUE, (queue,)))
    _open_released_lines(tx, leaving.values(), queue)
    tx.later(*(Query(MOVE_PARKED, (queue, chunk)) for chunk in in_chunks(parked)))
    tx.later(*(Query(MOVE_JOBS, (queue, chunk)) for chunk in in_chunks(unparked)))
    close_empty(tx, leaving.values())
    tx.later(*(Query(MOVE_FAILED, (queue, chunk)) for chunk in in_chunks(failed_ids)))
    wake(tx, [queue])
    return _in_order(ids, {*locations, *failed_ids})


def _in_order(ids: Sequence[str], existing: Collection[str]) -> list[str]:
    return [id_ for id_ in dict.fromkeys(ids) if id_ in existing]


def lock_waiting(tx: Transaction, ids: Sequence[str]) -> dict[str, Location]:
    """Lock the wait lists (rows of `lines`) that these jobs are in, then the jobs. Returns the
    locations of the jobs that are not running."""
    locations: dict[str, Location] = {}
    lines: set[tuple[str, str]] = set()
    remaining = sorted(set(ids))
    for _ in range(LOCK_ATTEMPTS):
        new = {
            (location.place, location.queue)
            for location in _locations(tx, LOCATIONS, remaining).values()
        } - lines
        new = {line for line in new if is_line(line[0])}
        tx.run(*(Query(LOCK_LINE, line) for line in sorted(new)))
        lines |= new
        locked = _locations(tx, LOCK_LOCATIONS, remaining)
        remaining = []
        for id_, location in locked.items():
            if is_line(location.place) and (location.place, location.queue) not in lines:
                remaining.append(id_)  # it has moved to a line since its location was read
            else:
                locations[id_] = location
        if not remaining:
            break
    return locations


def _locations(tx: Transaction, sql: str, ids: Sequence[str]) -> dict[str, Location]:
    """Return the locations of these jobs, except the running ones."""
    results = tx.run(*(Query(sql, (chunk,)) for chunk in in_chunks(ids)))
    rows = [
        (to_text(id_), to_text(place), *columns)
        for result in results
        for id_, place, *columns in result.rows
    ]
    return {
        id_: Location(place, to_text(queue), number(due), tied)
        for id_, place, queue, due, tied in rows
        if not worker_at(place)
    }


def _open_released_lines(tx: Transaction, leaving: Collection[Location], queue: str) -> None:
    """Limits have released some of the leaving jobs. Open the lines of these limits in the new
    queue."""
    ends: dict[tuple[str, str], int] = {}
    for place, old, due, _ in leaving:
        if place.startswith(RELEASED_PREFIX):
            ends[place, old] = min(due, ends.get((place, old), due))
    results = tx.run(*(Query(LINES_LIMIT, line) for line in ends))
    rows = [
        (place, queue, end, *limit)
        for ((place, _), end), result in zip(ends.items(), results, strict=True)
        for limit in result.rows
    ]
    if rows:
        tx.later(BatchQuery(OPEN_RELEASED_LINE, sorted(rows)))


def close_empty(tx: Transaction, locations: Iterable[Location]) -> None:
    """Delete the lines at these locations that have no jobs any more."""
    lines = sorted(
        {(location.place, location.queue) for location in locations if is_line(location.place)}
    )
    results = tx.run(*(Query(HAS_JOBS, line) for line in lines))
    empty = [line for line, result in zip(lines, results, strict=True) if not result.rows]
    tx.later(*(Query(DELETE_LINE, line) for line in empty))


def purge(session: Session, queue: str) -> Iterator[int]:
    """Cancel the jobs that wait in a queue, first those in lines. After each transaction, yields
    how many jobs it has cancelled. Each search begins at the due time where the last one ended.
    InnoDB keeps deleted jobs in the index for a while. A search that began at the head would skip
    all of them again."""
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
    id_, queue, failed_at, body, *state, tied = row
    fields = to_text(id_), to_text(queue), "failed", number(failed_at)
    contents = sanitize.blob(body), sanitize.state(state)
    return StoredJob(*fields, *contents, unique=stored_key(tied))


def retry(
    tx: Transaction, ids: Sequence[str], bodies: Mapping[str, bytes], expires: Mapping[str, int]
) -> list[str]:
    """Put failed jobs back into their queues as new jobs. A job stays failed if another job has its
    unique key. Returns the ids of the jobs that were put back."""
    locked = _lock_failed(tx, ids)
    stay = effects.take_for_retry(tx, {id_: locked[id_] for id_ in sorted(locked)})
    returning = [id_ for id_ in locked if id_ not in stay]
    replaced = [(bodies[id_], id_) for id_ in returning if id_ in bodies]
    if replaced:
        tx.later(BatchQuery(REPLACE_BODY, replaced))
    spans = [(expires[id_] or None, id_) for id_ in returning if id_ in bodies and id_ in expires]
    if spans:
        tx.later(BatchQuery(REPLACE_EXPIRES, spans))
    queues: set[str] = set()
    for chunk in in_chunks(returning):
        (names,) = tx.run(Query(QUEUES_OF_FAILED, (chunk,)))
        queues |= {to_text(name) for (name,) in names.rows}
        tx.later(Query(RETRY_FAILED, (chunk,)), Query(DELETE_FAILED, (chunk,)))
    wake(tx, queues)
    return _in_order(ids, set(returning))


def forget(tx: Transaction, ids: Sequence[str]) -> list[str]:
    """Delete failed jobs. Returns the ids that were found."""
    failed = _lock_failed(tx, ids)
    tx.later(*(Query(DELETE_FAILED, (chunk,)) for chunk in in_chunks(list(failed))))
    changes = EffectChanges()
    for id_, stored_effects in failed.items():
        changes.finish(stored_effects, id_)
    changes.write(tx)
    return _in_order(ids, set(failed))


def _lock_failed(tx: Transaction, ids: Sequence[str]) -> dict[str, object]:
    """Lock those of these jobs that have failed. Returns their effects by id."""
    results = tx.run(*(Query(LOCK_FAILED, (chunk,)) for chunk in in_chunks(ids)))
    return {to_text(id_): tied for result in results for id_, tied in result.rows}
