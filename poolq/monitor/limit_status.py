"""Rate limits as people see them (pure): what the pane, the alert, `poolq status` and the metrics
say of a limit is worked out here, from what the keeper wrote down and the time since.

- Windows continue while nobody asks the engine: if jobs wait, one window follows the other.
- A limit holds back while jobs wait for it, and for a moment after it has held back the last one,
  so that the state of a limit with short windows can be read.
"""

from collections.abc import Iterable

import msgspec

OBSERVE_INTERVAL = 2.0  # seconds between two samples of the observer, at least
HOLDS_BACK, FULL, OPEN, IDLE = "holds back", "full", "open", "idle"
#: Such a short window passes several times between two samples of the keeper.
SHORT_WINDOW = 5.0  # seconds
#: Starts below this share of the allowed rate mean that the workers are busy.
WORKER_BOUND_SHARE = 0.8
#: The number of waiting jobs grows if it does so by this share within GROWTH_SECONDS.
GROWTH_SHARE, GROWTH_SECONDS = 0.05, 10.0


class ObservedLimit(msgspec.Struct, frozen=True, array_like=True):
    """A limit as the keeper saw it. `window`, and `left` until the open one ends, in microseconds;
    `left` and `used` are 0 if none is open. `starts` per second; `held` per minute, by this pool's
    workers, None: not known yet; `spark`: held every 2 seconds of the last minute, the newest last.
    `growth` of the number of waiting jobs, per second. `since`: since when it holds back, in
    monotonic seconds, None: it does not; `quiet`: seconds since its last use. `last_tries`: jobs
    that it has released with one attempt left."""

    key: str
    limit: int
    window: int
    used: int
    left: int
    parked: int
    released: int
    starts: float
    held: float | None
    spark: tuple[float, ...]
    growth: float
    since: float | None
    quiet: float
    last_tries: int = 0


class LimitStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A rate limit: `used` of `limit` starts in a window of `window` seconds, which ends in
    `resets_in`. `state`: "holds back" (jobs wait for it), "full" (used up, nobody waits), "open" or
    "idle" (no window is open). `starts` per second, smoothed, of those `allowed`. `waiting`: jobs
    `parked` in its line and `released` until a window ends; `held`: how many were held back per
    minute by this pool, `spark`: in each 2 seconds of the last minute. `next_slot`: until one more
    may start, 0.0 if one may now; `empty_in`: until about the last waiting job has started, None if
    none waits or their number `grows`. `last_tries`: jobs of this pool that it released and that
    have one attempt left: they fail when it releases them again."""

    key: str
    limit: int
    window: float
    used: int = 0
    resets_in: float | None = None
    state: str = OPEN
    starts: float = 0.0
    allowed: float = 0.0
    parked: int = 0
    released: int = 0
    waiting: int = 0
    held: float | None = None
    spark: tuple[float, ...] = ()
    next_slot: float = 0.0
    empty_in: float | None = None
    grows: bool = False
    last_tries: int = 0

    @property
    def holds_back(self) -> bool:
        return self.state == HOLDS_BACK


def limits(watched: Iterable[ObservedLimit], passed: float) -> tuple[LimitStatus, ...]:
    """The limits as they are `passed` seconds after the keeper saw them."""
    return tuple(status(one, max(0.0, passed)) for one in watched)


def status(seen: ObservedLimit, passed: float) -> LimitStatus:
    window, left = seen.window / 1e6, seen.left / 1e6 - passed
    waiting, used = seen.parked + seen.released, seen.used
    resets_in: float | None = left
    if left <= 0:
        # If more jobs wait than fit into a window, another one has begun, and is used up.
        rounds = int(-left // window) + 1 if seen.left else 0
        used = min(seen.limit, max(0, waiting - (rounds - 1) * seen.limit)) if rounds else 0
        resets_in = window - -left % window if used else None
    full = used >= seen.limit
    if waiting or seen.since is not None:
        state = HOLDS_BACK
    else:
        state = FULL if full else OPEN if resets_in is not None else IDLE
    next_slot = resets_in if full and resets_in is not None else 0.0
    grows = waiting > 0 and seen.growth * GROWTH_SECONDS > max(1.0, GROWTH_SHARE * waiting)
    return LimitStatus(
        key=seen.key,
        limit=seen.limit,
        window=window,
        used=used,
        resets_in=resets_in,
        state=state,
        starts=seen.starts,
        allowed=seen.limit / window,
        parked=seen.parked,
        released=seen.released,
        waiting=waiting,
        held=seen.held,
        spark=seen.spark,
        next_slot=next_slot,
        empty_in=_empty_in(seen, window, waiting, next_slot) if waiting and not grows else None,
        grows=grows,
        last_tries=seen.last_tries,
    )


def _empty_in(seen: ObservedLimit, window: float, waiting: int, next_slot: float) -> float:
    """By the allowed rate, or by the actual one if that is lower because the workers are busy."""
    if window <= SHORT_WINDOW and 0 < seen.starts < WORKER_BOUND_SHARE * seen.limit / window:
        return waiting / seen.starts
    return next_slot + (waiting - 1) // seen.limit * window
