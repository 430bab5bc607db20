"""How much longer one thing takes than another, side by side, in processor time."""

from __future__ import annotations

import time
from collections.abc import Callable

Act = Callable[[], object]


def ratio(ours: Act, theirs: Act, calls: int = 10, rounds: int = 100) -> float:
    """Of the least that each takes in some rounds: others have the processor's caches, too, so a
    round is short."""

    def taken(act: Act) -> float:
        begun = time.process_time()
        for _ in range(calls):
            act()
        return time.process_time() - begun

    for act in (ours, theirs):
        taken(act)
    pairs = [(taken(ours), taken(theirs)) for _ in range(rounds)]
    return min(one for one, _ in pairs) / min(other for _, other in pairs)
