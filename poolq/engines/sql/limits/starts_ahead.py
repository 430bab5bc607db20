"""Starts that a worker takes ahead, so that not each start of a quick limit costs an exchange.

A worker whose jobs start one after another asks for a start, and takes some for the next jobs with
it. They count in the window from then on, and begin in it. Those that are not used within LIFETIME
are lost, so a worker takes only as many as it uses in a tenth of that time at its present pace, and
at most 1/SHARE of the limit. None are taken under other limits, which are used up without, and
whose jobs keep an order (see `start_order.py`). Nor are any under sliding ones, whose starts count
from the moment at which they begin."""

from collections import OrderedDict
from collections.abc import Sequence
from time import monotonic
from typing import NamedTuple

import msgspec

from poolq.engines.sql.limits.limit_windows import window_name
from poolq.engines.sql.limits.locked_limits import LockedLimits
from poolq.jobs.limits import Asked, Rule

#: Seconds for which a start that was taken ahead can be used.
LIFETIME = 0.5
#: What part of the limit is taken ahead at most. On a busy machine, two workers on PostgreSQL used
#: 50 to 76 % of a limit of half the rate at which they drain with 1/100, and 86 to 99 % with 1/25.
SHARE = 25
#: A limit of more starts a second is quick. Others are used up without starts ahead, too, by jobs
#: that wait in line. Of 5,000 a second, PostgreSQL uses 43 % without them and 99.6 % with them.
QUICK = 1000
#: For how many pairs of a worker and rules starts are remembered.
MAX_KNOWN = 1000

Key = tuple[str, Sequence[Asked]]


class Taken(NamedTuple):
    """`more`: how many starts were taken ahead. `ends`: how many microseconds later their window
    ends."""

    more: int
    ends: int


NOTHING = Taken(0, 0)


class _Known(msgspec.Struct):
    """`at`: when the worker got the starts. `got`: how many, of which `left` are not used yet, and
    may be used before `until`."""

    at: float
    got: int
    left: int
    until: float


class StartsAhead(OrderedDict[Key, _Known]):
    """The last starts of each worker under its rules. Times are monotonic seconds."""

    def use(self, key: Key) -> bool:
        """Use a start that was taken ahead. Returns whether there is one."""
        known = self.get(key)
        if known is None or known.left <= 0 or monotonic() >= known.until:
            return False
        known.left -= 1
        return True

    def wanted(self, key: Key) -> int:
        """Return how many starts to take ahead with one that is asked for now."""
        known = self.get(key)
        if known is None or known.left:
            return 0
        return int(known.got * LIFETIME / 10 / max(monotonic() - known.at, 1e-6))

    def note(self, key: Key, asked: float, taken: Taken) -> None:
        """Record what was taken ahead with a start that was asked for at `asked`."""
        more, now = taken.more, monotonic()
        until = min(asked + taken.ends / 1e6, now + LIFETIME)
        self[key] = _Known(now, 1 + more, more, until)
        self.move_to_end(key)
        if len(self) > MAX_KNOWN:
            self.popitem(last=False)


def is_quick(rules: Sequence[Asked]) -> bool:
    """Return whether starts under these rules may be taken ahead."""
    rule = rules[0]
    return (
        len(rules) == 1
        and isinstance(rule, Rule)
        and rule.limit * 1_000_000 > QUICK * rule.window
        and rule.cost == 1
        and not rule.sliding
    )


def take_ahead(limits: LockedLimits, rule: Rule, want: int) -> Taken:
    """Take at most so many starts of a locked limit, which has just let one start."""
    limit = limits.overridden(rule).limit
    ((_, used),) = limits.starts[window_name(rule)]
    more = min(want, limit // SHARE, limit - used)
    if more <= 0:
        return NOTHING
    limits.admit([rule._replace(cost=more)], "")
    return Taken(more, limits.slot_ends([rule]) - limits.now)
