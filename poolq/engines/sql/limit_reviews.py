"""Asks the code of parked jobs again for their limits, which only the code knows.

A line is marked by a time in its column `review` (0 if it is not marked). A worker that registered
at this time or later claims the line's head without a slot. The mark moves to the job's column
`reviewed`, as "<mark> <line>". When the job requests a start under that line's limit or parks there
again, the mark is deleted. After any other request or outcome, the mark returns to the line, so
that the next head is reviewed.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from poolq.engines.base import Claim, Queues, Settlements
from poolq.engines.sanitize import number, to_text
from poolq.engines.sql.location import GATE_SLOT, IS_PARKED, claimed_by, line_of
from poolq.engines.sql.parking import DELETE_LINE, LOCK_HEADS, Grant
from poolq.engines.sql.session import Query, Row, Transaction, in_chunks
from poolq.jobs.holds import HOLD_WINDOW
from poolq.jobs.limits import Rule
from poolq.jobs.retry import Failing, HoldKey, Park

#: Leaves out the lines of holds, because nothing but the end of the hold lets their jobs start.
MARK_ALL_LINES = f"""UPDATE {{lines}} SET review = ?
    WHERE {IS_PARKED} AND span <> {HOLD_WINDOW} AND review < ?"""
MARK_LINES = MARK_ALL_LINES + " AND queue IN {list}"
LOCK_MARKED_LINE = """SELECT place, review FROM {lines} {line:review}
    WHERE review > 0 AND review <= ? AND queue = ? ORDER BY review LIMIT 1 {lock}"""
UNMARK_LINE = "UPDATE {lines} SET review = 0 WHERE place = ? AND queue = ?"
RETURN_MARK = """UPDATE {lines} SET review = CASE WHEN review < ? THEN ? ELSE review END
    WHERE place = ? AND queue = ?"""
MARK_JOB = "UPDATE {jobs} SET reviewed = ? WHERE id = ?"
UNMARK_JOBS = "UPDATE {jobs} SET reviewed = '' WHERE id IN {list}"
MARKED_JOBS = "SELECT id, queue, reviewed FROM {jobs} WHERE id IN {list} AND reviewed > ''"
HELD_MARK = """SELECT reviewed FROM {jobs} {by_id}
    WHERE id = ? AND place = ? AND request = ? AND idx = ? AND reviewed > ''"""
#: The slot 0 makes steps try the line at once, because it may have free slots under the new limit.
SET_LIMIT = f"""UPDATE {{lines}} SET most = ?, since = {{now}},
    slot = CASE WHEN slot < {GATE_SLOT} THEN 0 ELSE slot END WHERE place = ? AND queue = ?"""


class Review(NamedTuple):
    """A job whose limits are reviewed, with its mark, and the line from which it was claimed."""

    id: str
    queue: str
    mark: int
    place: str


def mark_lines(tx: Transaction, since: int, queues: Queues) -> None:
    """Mark all lines of these queues (None: of all queues). `since`: the time to mark them with."""
    if queues is None:
        tx.later(Query(MARK_ALL_LINES, (since, since)))
    elif queues:
        tx.later(Query(MARK_LINES, (since, since, list(queues))))


def take_head(tx: Transaction, queue: str, since: int) -> Grant | None:
    """Take the head of a marked line of the queue. Returns None if no line is marked for a worker
    that registered at the time `since`."""
    (first,) = tx.send([Query(LOCK_MARKED_LINE, (since, queue))])  # see `parking.bring_back`
    if not first.rows:
        return None
    place, marked = to_text(first.rows[0][0]), number(first.rows[0][1])
    (heads,) = tx.run(Query(LOCK_HEADS, (place, queue)))
    if not heads.rows:
        tx.later(Query(DELETE_LINE, (place, queue)))
        return None
    row = heads.rows[0][:-1]
    tx.later(Query(UNMARK_LINE, (place, queue)), Query(MARK_JOB, (f"{marked} {place}", row[0])))
    return Grant(row, reviewed=True)


def apply_limits(tx: Transaction, worker: str, claim: Claim, rules: Sequence[Rule]) -> None:
    """End the review of a job that requests a start under `rules`. If it was claimed from the line
    of one of these rules, they all apply to their lines from now on. If it was claimed from another
    line, the mark returns to that line."""
    (found,) = tx.run(Query(HELD_MARK, (claim.id, claimed_by(worker), claim.request, claim.index)))
    if not found.rows:
        return
    review = _review(claim.id, claim.queue, found.rows[0][0])
    places = {line_of(rule): rule.limit for rule in rules}
    if review.place in places:
        for place, most in sorted(places.items()):
            tx.later(Query(SET_LIMIT, (most, place, claim.queue)))
    else:
        return_marks(tx, [review])
    tx.later(Query(UNMARK_JOBS, ([claim.id],)))


def end_reviews(tx: Transaction, settlements: Settlements) -> None:
    """End the reviews of the jobs in these accepted settlements."""
    ended = {one.claim.id: one.outcome for one in settlements}
    ids = [one.claim.id for one in settlements if one.claim.reviewed]
    for some in in_chunks(ids):
        found = [
            _review(id_, queue, reviewed)
            for id_, queue, reviewed in tx.run(Query(MARKED_JOBS, (some,)))[0].rows
            if not isinstance(ended[id_], Failing)
        ]
        return_marks(tx, [one for one in found if not _parks_again(one, ended[one.id])])
        if found:
            tx.later(Query(UNMARK_JOBS, ([one.id for one in found],)))


def _parks_again(review: Review, outcome: object) -> bool:
    outcome = outcome.park if isinstance(outcome, HoldKey) else outcome
    return isinstance(outcome, Park) and line_of(outcome.rules[outcome.refused]) == review.place


def end_reviews_of_dead(tx: Transaction, rows: Iterable[Row]) -> None:
    """End the reviews of a dead worker's jobs (id, queue, `reviewed`)."""
    found = [_review(*row) for row in rows if row[2]]
    if found:
        return_marks(tx, found)
        tx.later(*(Query(UNMARK_JOBS, (some,)) for some in in_chunks([one.id for one in found])))


def return_marks(tx: Transaction, reviews: Sequence[Review]) -> None:
    """Return the marks to their lines, so that the next heads are reviewed."""
    lines = sorted((one.place, one.queue, one.mark) for one in reviews)
    tx.later(*(Query(RETURN_MARK, (mark_, mark_, place, queue)) for place, queue, mark_ in lines))


def _review(id_: str, queue: str | bytes, reviewed: str | bytes) -> Review:
    marked, _, place = to_text(reviewed).partition(" ")
    return Review(id_, to_text(queue), number(marked), place)
