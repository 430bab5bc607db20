"""The *span* of a rule, in microseconds, which tells a store what kind of limit the rule is.

The span of a fixed window is its length. The span of a sliding window is its length, but negative.
Gates and holds have spans that no window can have. The scripts for Redis use the same numbers.
"""

from poolq.common.durations import MAX_MICROSECONDS
from poolq.jobs.limits import MAX_LIMIT, Gate, HeldKey, Listed, Rule

GATE_SPAN = 2**53 - 1
HOLD_SPAN = 9 * 10**15


def span_of(rule: Listed) -> int:
    match rule:
        case Rule():
            return -rule.window if rule.sliding else rule.window
        case Gate():
            return GATE_SPAN
        case HeldKey():
            return HOLD_SPAN


def rule_at(key: str, limit: int, span: int, cost: int = 1) -> Listed | None:
    """Return the rule with this span, or None if no code can have declared it."""
    if span == HOLD_SPAN:
        return HeldKey(key)
    if not (0 <= limit <= MAX_LIMIT and 1 <= cost <= MAX_LIMIT):
        return None
    if span == GATE_SPAN:
        return Gate(key, limit)
    return (
        Rule(key, limit, abs(span), cost, span < 0) if 1 <= abs(span) <= MAX_MICROSECONDS else None
    )
