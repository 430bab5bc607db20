"""Concurrency per key: how many jobs may run at once. Engines see a rule with the window
GATE_WINDOW, a *gate*.

A slot of a gate is a claim. A claim takes it when its job is admitted or granted, and it ends with
the claim, however that ends. So it has no duration, and nothing can be left over.
"""

from collections.abc import Sequence

from poolq.errors import LimitError
from poolq.jobs.limits import MAX_LIMIT, Limit, Rule, check_key

#: The window of gates, which is longer than that of any limit.
GATE_WINDOW = 2**53 - 1


class Concurrent(Limit):
    """At most `limit` jobs run at once. `key` names the jobs that count together (default: the
    job's name). A job that has to wait is parked. Raises LimitError (a ValueError)."""

    __slots__ = ()

    def __init__(self, limit: int, *, key: str | None = None) -> None:
        self._fill(
            limit=_number(limit),
            window=GATE_WINDOW,
            key=None if key is None else check_key(key),
            jitter=0.0,
            on_limit="park",
            cost=1,
            sliding=False,
        )

    def __repr__(self) -> str:  # as it is written; the window is not
        return f"Concurrent({self.limit}{'' if self.key is None else f', key={self.key!r}'})"


def _number(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_LIMIT:
        raise LimitError(
            f"Concurrent({value!r}): the jobs that may run at once must be a whole number of 1 or"
            " more"
        )
    return value


def is_gate(rule: Rule) -> bool:
    """Return whether the rule limits how many jobs run at once, not how many start in a window."""
    return rule.window == GATE_WINDOW


def gates_of(rules: Sequence[Rule]) -> list[Rule]:
    return [rule for rule in rules if rule.window == GATE_WINDOW]
