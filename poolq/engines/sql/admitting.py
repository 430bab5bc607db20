"""Admits claimed jobs under their limits."""

from collections.abc import Sequence

from poolq.engines.base import Claim
from poolq.engines.sql import deploys, gates, limit_windows
from poolq.engines.sql.session import Transaction
from poolq.engines.sql.settling import claim_clock
from poolq.engines.sql.stepping import lock_worker
from poolq.jobs.concurrency import is_gate
from poolq.jobs.limits import NOT_YET, Admission, Rule


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
        return NOT_YET if held_now.rows else Admission(0, stale=True)
    return admission
