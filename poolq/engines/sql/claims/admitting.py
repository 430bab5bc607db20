"""Admits claimed jobs under their limits.

If a job's only limit is a gate, it takes over the slot of the worker's last job of that gate, if
possible (`concurrent_slots.hand_on`). `LastClaims` remembers the claim of that last job. If it has
forgotten the claim, the admission only takes longer. Under a limit of many starts, it may take a
start that the worker has taken ahead (`starts_ahead.py`).
"""

from collections import OrderedDict
from collections.abc import Sequence
from functools import partial
from time import monotonic

from poolq.engines.base import Claim, EndedSlots
from poolq.engines.sql.claims.settling import claim_clock, is_admitted
from poolq.engines.sql.claims.stepping import lock_worker
from poolq.engines.sql.limits import concurrent_slots, deploys
from poolq.engines.sql.limits.locked_limits import lock_limits
from poolq.engines.sql.limits.starts_ahead import (
    NOTHING,
    StartsAhead,
    Taken,
    is_quick,
    take_ahead,
)
from poolq.engines.sql.session import Query, Session, Transaction
from poolq.jobs.limits import ADMITTED, NOT_YET, Admission, Asked, Gate, gates_of, windows_of

#: Marks a claim whose start the windows have counted, so that they do not count it again if the
#: worker has not received the answer and asks again. Slots of gates need no mark.
MARK_ADMITTED = "UPDATE {jobs} SET admitted = 1 WHERE id = ?"
#: For how many pairs of a worker and a key the last claim is remembered.
MAX_KNOWN = 1000


class LastClaims(OrderedDict[tuple[str, str], Claim]):
    """The last claim that has taken a slot of a gate, by worker and the gate's key."""

    def note(self, worker: str, rules: Sequence[Asked], claim: Claim) -> None:
        for rule in rules:
            if isinstance(rule, Gate):
                self[worker, rule.key] = claim
                self.move_to_end((worker, rule.key))
        while len(self) > MAX_KNOWN:
            self.popitem(last=False)


def admit(
    session: Session,
    last: LastClaims,
    ahead: StartsAhead,
    rules: Sequence[Asked],
    held: tuple[str, Claim] | None,
    ended: Sequence[EndedSlots],
) -> Admission:
    """See `Engine.admit`."""
    if held is not None and is_quick(rules):
        return _admit_ahead(session, ahead, rules, held)
    if held is not None and _goes_on(session, last, rules, held, ended):
        admission = ADMITTED
    else:
        queries = concurrent_slots.free(held[0], ended) if held and ended else []
        work = partial(_admit, rules=rules, held=held, queries=queries)
        admission, _ = session.transact(work, gives_way=True)
    if held is not None and not admission.wait and not admission.stale:
        last.note(held[0], rules, held[1])
    return admission


def _admit_ahead(
    session: Session, ahead: StartsAhead, rules: Sequence[Asked], held: tuple[str, Claim]
) -> Admission:
    """Ask for a start, and take some for the next jobs ahead."""
    key = held[0], tuple(rules)
    asked = monotonic()
    more = ahead.wanted(key)
    work = partial(_admit, rules=rules, held=held, more=more)
    admission, taken = session.transact(work, gives_way=True)
    ahead.note(key, asked, taken)
    return admission


def _goes_on(
    session: Session,
    last: LastClaims,
    rules: Sequence[Asked],
    held: tuple[str, Claim],
    ended: Sequence[EndedSlots],
) -> bool:
    """Give the job the slot of the worker's last job, and free the other ended slots. Returns
    whether the job has got the slot."""
    (worker, claim), rule = held, rules[0]
    if len(rules) > 1 or not isinstance(rule, Gate) or claim.asks:
        return False
    olds = [old for old, its in ended if any(one.key == rule.key for one in gates_of(its))]
    old = olds[0] if olds else last.get((worker, rule.key))
    if old is None:
        return False
    query = concurrent_slots.hand_on(rule, old, worker, claim, has_ended=bool(olds))
    return session.change(*concurrent_slots.free(worker, ended, but=(rule.key, old)), query) > 0


def _admit(
    tx: Transaction,
    rules: Sequence[Asked],
    held: tuple[str, Claim] | None,
    queries: Sequence[Query] = (),
    more: int = 0,
) -> tuple[Admission, Taken]:
    """Free slots by these queries. Then take the starts and slots of all the rules, or of none. If
    there is one rule, take up to `more` starts ahead."""
    windows, gates = windows_of(rules), sorted(gates_of(rules))
    if held is None:
        limits = lock_limits(tx, windows)
        assert limits is not None  # no claim asks
        admission = limits.admit(windows, "")
        limits.save_starts(tx)
        return admission, NOTHING
    worker, claim = held
    if claim.asks:
        deploys.name_limits(tx, claim, rules)
    tx.later(*queries)
    clock = claim_clock(worker, claim, windows, gates)
    limits = lock_limits(tx, windows, gates, clock, worker)
    if limits is None:
        return _unasked(tx, worker, claim), NOTHING
    if gates:
        limits.name_limits(tx, rules)
    admission, taken = limits.admit(rules, claim.id), NOTHING
    if not admission.wait:
        if gates:
            limits.take_slots(tx, gates, claim.id)
        if more:
            taken = take_ahead(limits, windows[0], more)
        if windows:
            limits.save_starts(tx)
            tx.later(Query(MARK_ADMITTED, (claim.id,)))
    return admission, taken


def _unasked(tx: Transaction, worker: str, claim: Claim) -> Admission:
    """Return the answer to a claim that is not held any more, has its start already, or must wait
    for a job that was released before."""
    lock_worker(tx, worker)  # raises Fenced
    (held_now,) = tx.run(is_admitted(worker, claim))
    if not held_now.rows:
        return Admission(0, stale=True)
    return ADMITTED if held_now.rows[0][0] else NOT_YET
