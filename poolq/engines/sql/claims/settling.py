"""Applies settlements to claims, and finds stale settlements.

The caller has locked the worker's row. Every change of a claim locks that row first, so a claim
that is held now is held until the end of the transaction.
"""

from collections.abc import Iterable, Sequence
from functools import cache
from operator import itemgetter
from typing import Final

from poolq.engines.base import Claim, Settlement, Settlements
from poolq.engines.sanitize import to_text
from poolq.engines.sql.effects import EffectChanges
from poolq.engines.sql.job_counters import CounterIncrements
from poolq.engines.sql.limits.holds import note_holds
from poolq.engines.sql.limits.parking import put_in_lines
from poolq.engines.sql.location import (
    DELAYED,
    QUEUED,
    cancelled_at,
    claim_name,
    claimed_by,
    line_of,
    released_by,
)
from poolq.engines.sql.queues.wakeups import wake
from poolq.engines.sql.session import BatchQuery, Query, QueryResult, Transaction, in_chunks
from poolq.jobs.limits import Gate, Rule
from poolq.jobs.message import State
from poolq.jobs.outcomes import (
    CANCEL,
    Ack,
    Bury,
    Cancel,
    Discard,
    Expire,
    Failing,
    GiveBack,
    HoldKey,
    Outcome,
    Park,
    Release,
    ReleaseUntil,
    Requeue,
)

#: Selects all claims as one text, "<id> <request> <idx>" separated by commas, because fetching a
#: row per claim would cost more than everything else. Finds claims by id, because the index by
#: place is full of claims that were just deleted.
HELD_CLAIMS = """SELECT {in_one_text:id || ' ' || request || ' ' || idx} FROM {jobs} {by_id}
    WHERE id {in_list} AND place || '' = ?"""
_OF_CLAIM = "FROM {jobs} c {by_id} WHERE id = ? AND place || '' = ? AND request = ? AND idx = ?"
IS_ADMITTED = f"SELECT admitted {_OF_CLAIM} {{lock}}"
_BEFORE_IT = "(due < c.due_at OR (due = c.due_at AND first < c.id))"
#: True unless a line of released jobs has a job that is due again and comes before the claimed job.
COMES_FIRST = f""" AND NOT EXISTS (SELECT 1 FROM (SELECT taken AS due, id AS first FROM {{jobs}}
    WHERE place = ? AND queue = ? AND due_at <= {{now}}
        ORDER BY due_at, {{ordering:id}} LIMIT 1) released
    WHERE {_BEFORE_IT})"""
#: 1 if a line has a job that comes before the claimed job; else NULL.
IS_BEHIND = f""", (SELECT 1 FROM (SELECT due_at AS due, id AS first FROM {{jobs}} {{turn}}
    WHERE place = ? AND queue = ?
        ORDER BY due_at, {{ordering:id}} LIMIT 1) head, {{jobs}} c {{by_id}}
    WHERE c.id = ? AND {_BEFORE_IT})"""
DELETE_JOBS = "DELETE FROM {jobs} WHERE id {in_list}"
GIVE_BACK_JOBS = "UPDATE {jobs} SET place = '{returned:b}' WHERE id {in_list}"
RELEASE_JOB = """UPDATE {jobs} SET place = ?, due_at = {now} + ?, lasts = 0,
    attempt = ?, crashes = ?, failing = ?, history = ? WHERE id = ?"""
#: Also drops a slot that was reserved for the job.
SAVE_STATE = """UPDATE {jobs} SET lasts = 0,
    attempt = ?, crashes = ?, failing = ?, history = ? WHERE id = ?"""
BURY_JOB = """INSERT INTO {failed} (id, queue, at, attempt, crashes, failing, history, expires,
    body, effects) SELECT id, queue, {now}, ?, ?, ?, ?, ?, body, effects FROM {jobs}
    WHERE id = ?"""


#: Outcomes after which the same step may claim the job again.
_RETURNING: Final = frozenset({Release, ReleaseUntil, GiveBack, Requeue, Park, HoldKey})
_outcome = itemgetter(Settlement._fields.index("outcome"))


def held_queries(worker: str, ids: Sequence[str]) -> list[Query]:
    """Return queries that find out which of these jobs the worker holds."""
    return [Query(HELD_CLAIMS, (some, claimed_by(worker))) for some in in_chunks(ids)]


def held_claims(found: Iterable[QueryResult]) -> set[str]:
    """Return the claims in the answers to `held_queries`, as "<id> <request> <index>"."""
    return {claim for one in found for claim in to_text(one.rows[0][0] or "").split(",")}


def claim_clock(
    worker: str, claim: Claim, windows: Sequence[Rule], gates: Sequence[Gate] = ()
) -> Query:
    """Return a query for 1, the time, and for each of the gates whether an earlier job waits in its
    line. It finds NULL instead of 1 if the worker does not hold this claim, the claim has its start
    already, or an earlier job that the windows have released is due. The query locks the claim
    until the end of the transaction, without locking the worker's row."""
    released = [arg for rule in windows for arg in (released_by(rule), claim.queue)]
    waiting = [arg for gate in gates for arg in (line_of(gate), claim.queue, claim.id)]
    sql = _clock_sql(len(windows), len(gates))
    return Query(sql, (*claim_name(worker, claim), *released, *waiting))


@cache
def _clock_sql(windows: int, gates: int) -> str:
    released = COMES_FIRST * windows
    held = f"(SELECT 1 {_OF_CLAIM} AND admitted = 0{released} {{lock}})"
    return f"SELECT {held}, {{clock}}{IS_BEHIND * gates}"


def is_admitted(worker: str, claim: Claim) -> Query:
    """Return a query for whether the claim has its start. It finds a row only for a held claim."""
    return Query(IS_ADMITTED, claim_name(worker, claim))


def may_return_jobs(settlements: Iterable[Settlement]) -> bool:
    """Return whether a settlement returns a job that the same step may claim again."""
    return not _RETURNING.isdisjoint(map(type, map(_outcome, settlements)))


def may_return_to_heads(settlements: Iterable[Settlement]) -> bool:
    """Return whether a settlement returns a job to its queue, where claims may have passed it."""
    return may_return_jobs(settlements) and any(
        isinstance(one, (GiveBack, Requeue, ReleaseUntil))
        or (isinstance(one, Release) and one.delay <= 0)
        for _, one in settlements
    )


def release_args(delay: int, state: State, id_: str) -> Sequence[object]:
    """Return the arguments of RELEASE_JOB. Without a delay, the job is ready."""
    return (DELAYED, delay, *state, id_) if delay > 0 else (QUEUED, 0, *state, id_)


def settle(
    tx: Transaction,
    worker: str,
    settlements: Settlements,
    found: Sequence[QueryResult],
    now: int,
    deploy: int,
) -> tuple[list[str], list[str]]:
    """Apply settlements. Returns the ids of the stale ones, and of these jobs that are still held.
    `found`: the answers to `held_queries`. `now`: the server's time. `deploy`: that of the worker's
    code."""
    batch, ours = SettlementBatch(worker, now, deploy), held_claims(found)
    late = _add_held(batch, settlements, ours)
    if late:
        ids, place = [one.claim.id for one in late], cancelled_at(worker)
        rows = tx.run(*(Query(HELD_CLAIMS, (some, place)) for some in in_chunks(ids)))
        cancelled = held_claims(rows)
        late = _add_held(batch, late, cancelled, are_cancelled=True)
        ours |= cancelled
    batch.write(tx)
    return [one.claim.id for one in late], [one.split(" ")[0] for one in ours if one]


def _add_held(
    batch: "SettlementBatch", settlements: Settlements, ours: set[str], are_cancelled: bool = False
) -> list[Settlement]:
    """Add the settlements of the claims that are `ours`. Returns the stale ones. If the jobs
    `are_cancelled`, a job that is not done or failed is deleted, and its settlement is stale."""
    stale: list[Settlement] = []
    for one in settlements:
        claim, outcome = one
        name = f"{claim.id} {claim.request} {claim.index}"
        if name not in ours:
            stale.append(one)
            continue
        if not isinstance(outcome, Failing):
            ours.discard(name)
        if are_cancelled and not isinstance(outcome, (Ack, Bury, Failing)):
            batch.add(claim, CANCEL)
            stale.append(one)
        else:
            batch.add(claim, outcome)
    return stale


class SettlementBatch:
    """Accepted settlements, and the ends of dead workers' claims, grouped by the statements that
    apply them. `worker`: the worker to whose counters they are added."""

    def __init__(self, worker: str, now: int, deploy: int) -> None:
        self.now = now
        self.deploy = deploy
        self.increments = CounterIncrements(worker)
        self.deleted: list[str] = []
        self.given_back: list[str] = []
        self.buried: list[Sequence[object]] = []
        self.states: list[Sequence[object]] = []
        self.released: list[Sequence[object]] = []
        self.parked: list[tuple[Claim, Park | HoldKey]] = []
        self.held_back: list[tuple[Claim, ReleaseUntil]] = []
        self.woken_queues: set[str] = set()
        self.effects = EffectChanges()

    def delete(self, claim: Claim) -> None:
        self.deleted.append(claim.id)
        if claim.effects:
            self.effects.finish(claim.effects, claim.id)

    def add(self, claim: Claim, outcome: Outcome) -> None:
        match outcome:
            case Ack():  # first, as it is the most common outcome
                self.delete(claim)
                self.increments.add(claim.queue, "done")
            case Bury(state, expires):
                self.buried.append((*state, expires or None, claim.id))
                self.delete(claim)
                self.increments.add(claim.queue, "failed")
            case Discard():
                self.delete(claim)
                self.increments.add(claim.queue, "discarded")
            case Expire():
                self.delete(claim)
                self.increments.add(claim.queue, "expired")
            case Cancel():
                self.delete(claim)
                self.increments.add(claim.queue, "cancelled")
            case Failing(state):
                self.states.append((*state, claim.id))
            case _:
                self._return(claim, outcome)

    def _return(self, claim: Claim, outcome: Outcome) -> None:
        """Add the settlement of a job that returns to its queue, or to a line."""
        match outcome:
            case Release(delay, state, counter):
                self.released.append(release_args(delay, state, claim.id))
                if counter:
                    self.increments.add(claim.queue, counter)
            case ReleaseUntil(until, state, rule):
                # No limit releases a job for longer, even with jitter: the clock has gone back.
                if self.now < until <= self.now + 2 * rule.window:
                    self.held_back.append((claim, outcome))
                else:
                    self.states.append((*state, claim.id))
                    self.given_back.append(claim.id)
                self.increments.add(claim.queue, "limited")
            case GiveBack():
                self.given_back.append(claim.id)
            case Requeue(state, counter):
                self.states.append((*state, claim.id))
                self.given_back.append(claim.id)
                if counter:
                    self.increments.add(claim.queue, counter)
            case Park() | HoldKey():
                self.parked.append((claim, outcome))
                self.increments.add(claim.queue, "parked")
        if claim.effects:
            self.effects.requeue(claim.effects, claim.id)
        self.woken_queues.add(claim.queue)

    def write(self, tx: Transaction) -> None:
        # This comes first, because it locks lines (see `parking.due_lines`).
        held = put_in_lines(tx, self.parked, self.held_back, self.deploy)
        jobs = {SAVE_STATE: self.states, BURY_JOB: self.buried, RELEASE_JOB: self.released}
        for sql, rows in jobs.items():
            if rows:
                tx.later(BatchQuery(sql, rows))
        tx.later(*(Query(DELETE_JOBS, (ids,)) for ids in in_chunks(self.deleted)))
        tx.later(*(Query(GIVE_BACK_JOBS, (ids,)) for ids in in_chunks(self.given_back)))
        wake(tx, self.woken_queues)
        if held:
            note_holds(tx, held)
        self.effects.write(tx)
        tx.at_end(*self.increments.queries(tx.appends))
