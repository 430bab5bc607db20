"""Trying again while an engine is away: for ever in a worker, for a while in a producer.

Only what raises EngineUnavailable is repeated, and never a push that may have been stored.
Whether a call may be repeated at all is the caller's to know; `Engine.step` may.
"""

import random
import time
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from poolq.errors import EngineUnavailable

T = TypeVar("T")


class Backoff(NamedTuple):
    """Seconds to wait after a failure: doubling from `first` to `most` (pure)."""

    first: float = 0.05
    most: float = 5.0

    def pause(self, failures: int, rand: float) -> float:
        """After the `failures`-th failure in a row (from 1); `rand`, 0 to 1, takes off up to half,
        so that the many who lost the same server do not come back as one."""
        doubled = self.first * 2.0 ** min(failures - 1, 32)
        return min(doubled, self.most) * (1 - rand / 2)


BACKOFF = Backoff()


def retrying(
    call: Callable[[], T],
    *,
    give_up_after: float | None,
    backoff: Backoff = BACKOFF,
    notice: Callable[[EngineUnavailable, float], None] | None = None,
    sleep: Callable[[float], object] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
    rand: Callable[[], float] = random.random,
) -> T:
    """`call()`, repeated until it returns; the last error when no try may begin within
    `give_up_after` seconds (None: never given up).

    `notice(error, pause)` is told of each failure that will be tried again. `sleep` may raise to
    end the tries, or return early.
    """
    begun = clock()
    failures = 0
    while True:
        try:
            return call()
        except EngineUnavailable as error:
            failures += 1
            pause = backoff.pause(failures, rand())
            late = give_up_after is not None and clock() + pause - begun > give_up_after
            if error.maybe_stored or late:
                raise
            if notice is not None:
                notice(error, pause)
        sleep(pause)
