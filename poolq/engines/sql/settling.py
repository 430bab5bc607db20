"""What settlements make of claims: statements, and which of them came too late.

The worker's row is locked by whoever calls this, and every change of a claim locks it first; so
what is held now is held until the end of the transaction.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter
from typing import NamedTuple

from poolq.engines.base import Claim, Settlement
from poolq.engines.sanitize import to_text
from poolq.engines.sql import limit_reviews
from poolq.engines.sql.job_counters import DONE, Tally
from poolq.engines.sql.location import DELAYED, QUEUED, claimed_by
from poolq.engines.sql.parking import put
from poolq.engines.sql.session import Many, Op, Result, Transaction, cut
from poolq.engines.sql.wakeups import ring
from poolq.jobs.message import State
from poolq.jobs.retry import Ack, Bury, Failing, GiveBack, Outcome, Park, Release, ReleaseUntil

#: As one text: a row for each would cost a client in Python more than all the rest. Not by place:
#: that part of the index is full of claims that were just deleted.
HELD = "SELECT {claims} FROM {jobs} {by_id} WHERE id IN {list} AND place = ?"
STILL = """SELECT {now} FROM {jobs} {by_id}
    WHERE id = ? AND place = ? AND request = ? AND idx = ? {lock}"""
DELETE = "DELETE FROM {jobs} WHERE id IN {list}"
GIVE_BACK = "UPDATE {jobs} SET place = '' WHERE id IN {list}"
RELEASE = """UPDATE {jobs} SET place = ?, due_at = {now} + ?, lasts = 0,
    attempt = ?, crashes = ?, failing = ?, history = ? WHERE id = ?"""
#: Its slot is used up, should it not have begun by now.
STATE = """UPDATE {jobs} SET lasts = 0,
    attempt = ?, crashes = ?, failing = ?, history = ? WHERE id = ?"""
BURY = """INSERT INTO {failed} (id, queue, at, attempt, crashes, failing, history, body)
    SELECT id, queue, {now}, ?, ?, ?, ?, body FROM {jobs} WHERE id = ?"""


def asks(worker: str, ids: Sequence[str]) -> list[Op]:
    """Ask which of these jobs the worker has claimed."""
    return [Op(HELD, (some, claimed_by(worker))) for some in cut(ids)]


def names(found: Iterable[Result]) -> set[str]:
    """The claims in the answer to `asks`, as "<id> <request> <index>"."""
    return {claim for one in found for claim in to_text(one.rows[0][0] or "").split(",")}


def still(worker: str, claim: Claim) -> Op:
    """Tells the time, if the worker has this claim; nobody can take it away until the
    transaction's end, though its worker's row is not locked."""
    return Op(STILL, (claim.id, claimed_by(worker), claim.request, claim.index))


def goes_back(settlements: Iterable[Settlement]) -> bool:
    """Whether one of them leaves a job that the same step may claim again."""
    back = (Release, ReleaseUntil, GiveBack, Park)
    return any(isinstance(one.outcome, back) for one in settlements)


def releasing(delay: int, state: State, id_: str) -> Sequence[object]:
    """What RELEASE takes: a job that is due at once is ready."""
    return (DELAYED, delay, *state, id_) if delay > 0 else (QUEUED, 0, *state, id_)


_reviewed = itemgetter(Claim._fields.index("reviewed"))


class AllDone(NamedTuple):
    """Many jobs that are done, and nothing else: their claims as `names` has them, their ids, how
    many of each queue."""

    claims: frozenset[str]
    ids: list[str]
    queues: Mapping[str, int]


def all_done(settlements: Sequence[Settlement]) -> AllDone | None:
    """Worked out before anything is locked, as others wait meanwhile; None: it is not so simple."""
    if any(type(one.outcome) is not Ack for one in settlements):
        return None
    claims = [one.claim for one in settlements]
    if any(map(_reviewed, claims)):
        return None
    ids = [one.id for one in claims]
    called = frozenset([f"{one.id} {one.request} {one.index}" for one in claims])
    if len(called) < len(ids):
        return None
    return AllDone(called, ids, Counter([one.queue for one in claims]))


def settle(
    tx: Transaction,
    worker: str,
    settlements: Sequence[Settlement],
    found: Sequence[Result],
    now: int,
    simple: AllDone | None = None,
) -> list[str]:
    """Write down what becomes of each claim; returns the ids of those not held any more.

    `found` is the answer to `asks`, `simple` that of `all_done`; `now` is the server's time.
    """
    ours = names(found)
    batch = _Batch(worker, now)
    stale: list[str] = []
    if simple is not None and ours == simple.claims:
        batch.gone += simple.ids
        for queue, many in simple.queues.items():
            batch.tally.counts[queue][DONE] += many
        batch.write(tx)
        return stale
    for claim, outcome in settlements:
        id_, request, index, *_ = claim
        name = f"{id_} {request} {index}"
        if name not in ours:
            stale.append(id_)
        elif type(outcome) is Ack:  # nearly all of many
            ours.discard(name)
            batch.done(claim)
        else:
            if not isinstance(outcome, Failing):
                ours.discard(name)
            batch.add(claim, outcome)
    if any(one.claim.reviewed for one in settlements):
        limit_reviews.end(tx, [one for one in settlements if one.claim.id not in stale])
    batch.write(tx)
    return stale


class _Batch:
    """Accepted settlements, by what they do."""

    def __init__(self, worker: str, now: int) -> None:
        self.now = now
        self.tally = Tally(worker)
        self.gone: list[str] = []
        self.back: list[str] = []
        self.buried: list[Sequence[object]] = []
        self.states: list[Sequence[object]] = []
        self.released: list[Sequence[object]] = []
        self.parked: list[tuple[Claim, Park]] = []
        self.held_back: list[tuple[Claim, ReleaseUntil]] = []
        self.rung: set[str] = set()

    def done(self, claim: Claim) -> None:
        self.gone.append(claim.id)
        self.tally.counts[claim.queue][DONE] += 1

    def add(self, claim: Claim, outcome: Outcome) -> None:
        match outcome:
            case Bury(state):
                self.buried.append((*state, claim.id))
                self.gone.append(claim.id)
                self.tally.add(claim.queue, "failed")
                return
            case Failing(state):
                self.states.append((*state, claim.id))
                return
            case Release(delay, state, counter):
                self.released.append(releasing(delay, state, claim.id))
                if counter:
                    self.tally.add(claim.queue, counter)
            case ReleaseUntil(until, state):
                if until > self.now:
                    self.held_back.append((claim, outcome))
                else:
                    self.states.append((*state, claim.id))
                    self.back.append(claim.id)
                self.tally.add(claim.queue, "limited")
            case GiveBack():
                self.back.append(claim.id)
            case Park():
                self.parked.append((claim, outcome))
                self.tally.add(claim.queue, "parked")
        self.rung.add(claim.queue)

    def write(self, tx: Transaction) -> None:
        put(tx, self.parked, self.held_back)  # first, as it locks lines: see `parking.bring_back`
        for sql, rows in ((STATE, self.states), (BURY, self.buried), (RELEASE, self.released)):
            if rows:
                tx.later(Many(sql, rows))
        tx.later(*(Op(DELETE, (ids,)) for ids in cut(self.gone)))
        tx.later(*(Op(GIVE_BACK, (ids,)) for ids in cut(self.back)))
        ring(tx, self.rung)
        tx.later(*self.tally.ops())
