"""Cancels running jobs: moves their claims to a separate place (see `location.py`).

A settlement does not find such a claim at its usual place, so the settlement is stale at first.
`settling.py` then looks for the claim at the separate place. Other steps need no extra check.
"""

from collections import defaultdict
from collections.abc import Sequence

from poolq.engines.base import CancelRequest
from poolq.engines.sanitize import number, to_text
from poolq.engines.sql.location import cancelled_at, claimed_by, worker_at
from poolq.engines.sql.session import Query, Session, Transaction, in_chunks

LOCATIONS = "SELECT id, place FROM {jobs} WHERE id {in_list}"
#: Every change of a claim locks the worker's row first.
LOCK_CLAIMING_WORKER = "SELECT worker FROM {workers} WHERE worker = ? {lock}"
HELD_BY = "SELECT id FROM {jobs} WHERE id {in_list} AND place || '' IN (?, ?)"
CANCEL_CLAIMS = """UPDATE {jobs} SET place = ?, due_at = {now} + ?
    WHERE id {in_list} AND place || '' = ?"""
SHORTEN_GRACE = """UPDATE {jobs} SET due_at = {least}(due_at, {now} + ?)
    WHERE id {in_list} AND place || '' = ?"""
WORKERS_OF_NODE = "SELECT worker FROM {workers} WHERE node = ?"
CANCELLED_CLAIMS = """SELECT id, place, request, idx, due_at - {now} FROM {jobs}
    WHERE place {in_list}"""


def request_cancel(tx: Transaction, ids: Sequence[str], grace: int) -> list[str]:
    """Cancel those of these jobs that are running. Returns their ids."""
    by_worker: dict[str, list[str]] = defaultdict(list)
    for some in in_chunks(ids):
        for id_, place in tx.run(Query(LOCATIONS, (some,)))[0].rows:
            if worker := worker_at(to_text(place)):
                by_worker[worker].append(to_text(id_))
    found: set[str] = set()
    for worker, some in sorted(by_worker.items()):
        places = claimed_by(worker), cancelled_at(worker)
        tx.run(Query(LOCK_CLAIMING_WORKER, (worker,)))
        for few in in_chunks(some):
            (held,) = tx.run(Query(HELD_BY, (few, *places)))
            found.update(to_text(id_) for (id_,) in held.rows)
            tx.later(
                Query(SHORTEN_GRACE, (grace, few, places[1])),
                Query(CANCEL_CLAIMS, (places[1], grace, few, places[0])),
            )
    return [id_ for id_ in dict.fromkeys(ids) if id_ in found]


def cancel_requests(session: Session, node: str) -> list[CancelRequest]:
    """Return the cancelled claims of a node's workers."""
    (workers,) = session.read(Query(WORKERS_OF_NODE, (node,)))
    places = [cancelled_at(to_text(worker)) for (worker,) in workers.rows]
    found = [
        row
        for some in in_chunks(places)
        for row in session.read(Query(CANCELLED_CLAIMS, (some,)))[0].rows
    ]
    return [
        CancelRequest(
            to_text(id_), worker_at(to_text(place)), number(request), number(index), number(due)
        )
        for id_, place, request, index, due in found
    ]
