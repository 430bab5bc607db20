"""Works out what the pane, the alerts, `poolq status` and the metrics show of a rate limit, from
what the keeper has observed and the time that has passed since.

- Windows may begin and end between two observations. While jobs wait, one window follows another.
- A sliding window has no end: `left` and `resets_in` are the time until its first start leaves it.
- A hold of a key has an entry of its own, with a limit and a window of 0.
- A limit counts as holding jobs back while jobs wait for a slot and for a moment longer, so that
  people can read the state of a limit with short windows. Jobs that have a free slot wait for a
  worker, not for the limit.
"""

from collections.abc import Iterable

import msgspec

from poolq.engines.base import LimitUse
from poolq.jobs.concurrency import GATE_WINDOW, is_gate
from poolq.jobs.holds import HOLD_WINDOW

HOLDS_BACK, FULL, OPEN, IDLE, HELD = "holds back", "full", "open", "idle", "held"


class ObservedLimit(msgspec.Struct, frozen=True, array_like=True):
    """A limit as the keeper saw it. `window`: its length, and `left`: the time until the open
    window ends, both in microseconds; `left` and `used` are 0 if no window is open. `starts`:
    starts per second. `held`: jobs held back per minute by this pool's workers, None if not known
    yet; `spark`: jobs held back in each 2 seconds of the last minute, the newest last. `since`:
    since when it holds jobs back, in monotonic seconds, or None. `quiet`: seconds since its last
    use. `last_tries`: jobs that it has released with one attempt left. `slot`: microseconds until
    the first parked job may start, as far as the engine knows. `starts_total`: starts since the
    keeper began to watch it. `held_total`: how many jobs this pool has held back for limits with
    its key. `hold`: microseconds until the hold of its key ends, or 0."""

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
    since: float | None
    quiet: float
    last_tries: int = 0
    starts_total: int = 0
    held_total: int = 0
    sliding: bool = False
    slot: int = 0
    declared: int | None = None
    hold: int = 0


class LimitStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A rate limit. `used`: how many of `limit` starts are used in a window of `window` seconds,
    which ends in `resets_in` seconds. The window of a `Concurrent` is 0, and `used` is how many of
    its jobs run. `state`: "held" (its key is held for `hold` more seconds), "holds back" (jobs wait
    for a slot), "full" (used up, but no job waits), "open", or "idle" (no window is open).
    `starts`: starts per second, smoothed; at most `allowed`.
    `waiting`: jobs that wait, `parked` or `released` until a window ends. `held`: jobs that this
    pool holds back per minute; `spark`: in each 2 seconds of the last minute. `next_slot`: seconds
    until one more job may start, 0.0 if one may now; `empty_in`: how many seconds at least until
    no job waits, however many more come, None if none does, or if they wait for something else.
    `last_tries`: jobs of this pool that it released with one attempt left; the next release fails
    them. `starts_total`, `held_total`: as in `ObservedLimit`. With costs, a start counts as several
    in `used`, `starts`, `starts_total` and `allowed`. `sliding`: whether the window slides.
    `declared`: the limit in the code, if a person has set `limit` (0: unknown), else None."""

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
    last_tries: int = 0
    starts_total: int = 0
    held_total: int = 0
    sliding: bool = False
    declared: int | None = None
    hold: float = 0.0

    @property
    def is_gate(self) -> bool:
        """Whether it limits how many jobs run at once, and not how many start in a window."""
        return self.window == 0 and not self.is_hold

    @property
    def holds_back(self) -> bool:
        return self.state == HOLDS_BACK or (self.state == HELD and self.waiting > 0)

    @property
    def is_hold(self) -> bool:
        """Whether this is not a limit, but the entry of a hold."""
        return not self.limit

    @property
    def has_free_slot(self) -> bool:
        """Whether jobs wait although the limit would let one start."""
        is_open = self.used < self.limit or self.is_hold
        return self.waiting > 0 and self.next_slot <= 0 and is_open


def limits(watched: Iterable[ObservedLimit], passed: float) -> tuple[LimitStatus, ...]:
    """The limits as they are `passed` seconds after the keeper saw them."""
    return tuple(status(one, max(0.0, passed)) for one in watched)


def of_use(use: LimitUse) -> LimitStatus:
    """Return the status of a limit that has been observed only once, now."""
    blocks = use.released or (use.parked and blocks_parked(use))
    return status(
        ObservedLimit(
            key=use.rule.key, limit=use.rule.limit, window=use.rule.window, used=use.window.used,
            left=use.resets_in, parked=use.parked, released=use.released,
            starts=0.0, held=None, spark=(), since=0.0 if blocks else None, quiet=0.0,
            sliding=use.rule.sliding, slot=use.slot_in, declared=use.declared, hold=use.hold,
        ),
        0.0,
    )  # fmt: skip


def _gate_status(seen: ObservedLimit, hold: float) -> LimitStatus:
    """Return the status of a limit on how many jobs run at once."""
    if hold:
        state = HELD
    elif seen.since is not None:
        state = HOLDS_BACK
    else:
        state = FULL if seen.used >= seen.limit else OPEN if seen.used or seen.parked else IDLE
    return msgspec.structs.replace(
        msgspec.convert(seen, LimitStatus, from_attributes=True),
        window=0.0,
        state=state,
        waiting=seen.parked,
        next_slot=hold,
        hold=hold,
    )


def blocks_parked(use: LimitUse) -> bool:
    """Return whether no parked job may start now."""
    full = use.window.used >= use.rule.limit
    return full if is_gate(use.rule) else full or use.slot_in > 0


def status(seen: ObservedLimit, passed: float) -> LimitStatus:
    hold = max(0.0, seen.hold / 1e6 - passed)
    if seen.window == GATE_WINDOW:
        return _gate_status(seen, hold)
    if seen.window == HOLD_WINDOW:
        return _status_of_hold(seen, hold)
    window, left = seen.window / 1e6, seen.left / 1e6 - passed
    waiting, used, holds = seen.parked + seen.released, seen.used, seen.since is not None
    starting = waiting if holds else 0
    resets_in: float | None = left
    if left <= 0 and seen.sliding:
        # While jobs wait, they take the place of starts that leave the window.
        used = used if starting or -left < window else 0
        resets_in = 0.0 if used else None
    elif left <= 0:
        # While jobs wait, a new window begins when one ends, and these jobs use it up.
        rounds = int(-left // window) + 1 if seen.left and not hold else 0
        used = min(seen.limit, max(0, starting - (rounds - 1) * seen.limit)) if rounds else 0
        resets_in = window - -left % window if used else None
    full = used >= seen.limit
    if hold:
        state = HELD
    elif holds:
        state = HOLDS_BACK
    else:
        state = FULL if full else OPEN if waiting or resets_in is not None else IDLE
    next_slot = max(hold, resets_in if full and resets_in is not None else 0.0)
    if seen.parked:
        next_slot = max(next_slot, seen.slot / 1e6 - passed)
    free = 0 if next_slot > 0 else max(0, seen.limit - used)
    begins = next_slot if next_slot > 0 else window if resets_in is None else resets_in
    later = starting - free  # jobs that start in later windows
    empty_in = begins + (later - 1) // seen.limit * window if later > 0 else 0.0
    return msgspec.structs.replace(
        msgspec.convert(seen, LimitStatus, from_attributes=True),  # copies fields of the same names
        window=window,
        used=used,
        resets_in=resets_in,
        state=state,
        allowed=seen.limit / window,
        waiting=waiting,
        next_slot=next_slot,
        empty_in=empty_in if starting else None,
        hold=hold,
    )


def _status_of_hold(seen: ObservedLimit, hold: float) -> LimitStatus:
    """Return the status of a hold, whose jobs may all start when it ends."""
    waiting = seen.parked
    return LimitStatus(
        key=seen.key,
        limit=0,
        window=0.0,
        state=HELD if hold else HOLDS_BACK if waiting else IDLE,
        parked=seen.parked,
        waiting=waiting,
        held=seen.held,
        next_slot=hold,
        empty_in=hold if waiting else None,
        held_total=seen.held_total,
        hold=hold,
    )
