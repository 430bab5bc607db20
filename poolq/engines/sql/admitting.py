"""Admits claimed jobs under their limits."""

from collections.abc import Sequence

from poolq.engines.base import Claim
from poolq.engines.sql import deploys, gates, limit_windows
from poolq.engines.sql.session import Query, Transaction
from poolq.engines.sql.settling import claim_clock
from poolq.engines.sql.stepping import lock_worker
from poolq.jobs.concurrency import is_gate
from poolq.jobs.limits import ADMITTED, NOT_YET, Admission, Rule

#: Marks a claim whose start the windows have counted, so that they do not count it again if the
#: worker has not received the answer and asks again. Slots of gates need no mark.
MARK_ADMITTED = "UPDATE {jobs} SET admitted = 1 WHERE id = ?"


def admit(
    tx: Transaction,
    rules: Sequence[Rule],
    held: tuple[str, Claim] | None,
    leaving: gates.Leaving,
) -> Admission:
    """See `Engine.admit`."""
    if held is None:
        return limit_windows.admit(tx, rules) or Admission(0)
    worker, claim = held
    if claim.asks:
        deploys.name_limits(tx, claim, rules)
    windows = [rule for rule in rules if not is_gate(rule)]
    clock = claim_clock(worker, claim, windows)
    if len(windows) < len(rules):
        if len(rules) == 1:
            if gates.enter_at_once(tx, rules[0], held, clock, leaving):
                return Admission(0)
        else:
            tx.later(*leaving.queries)
        admission = gates.admit(tx, rules, clock, held, leaving.seat)
    else:
        admission = limit_windows.admit(tx, rules, clock)
    if admission is None:
        lock_worker(tx, worker)  # raises Fenced
        (held_now,) = tx.run(claim_clock(worker, claim))
        if not held_now.rows:
            return Admission(0, stale=True)
        return ADMITTED if held_now.rows[0][1] else NOT_YET
    if windows and not admission.wait:
        tx.later(Query(MARK_ADMITTED, (claim.id,)))
    return admission
