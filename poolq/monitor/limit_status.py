"""What the pane, the alerts, `poolq status`, `poolq limit ls` and the metrics show of a rate limit.

- A limit is shown as it was last observed, but its remaining times are counted down (`later`). What
  begins between two observations is not guessed.
- A sliding window has no end. `resets_in` is the time until its first used start leaves it.
- A hold of a key has an entry of its own, with a limit and a window of 0.
- A limit counts as holding jobs back while jobs wait for a slot. It still counts for a moment
  afterwards, so that people can read the state of a limit with short windows. Jobs that have a free
  slot wait for a worker, not for the limit.
"""

from typing import Any

import msgspec

from poolq.engines.base import LimitUse
from poolq.jobs.limits import Gate, HeldKey, Listed, Rule, is_sliding

HOLDS_BACK, FULL, OPEN, IDLE, HELD = "holds back", "full", "open", "idle", "held"
#: A window of up to this length ends too often for people to follow.
SHORT_WINDOW = 5.0  # seconds


class LimitStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A rate limit. `used`: how many of `limit` starts are used in a window of `window` seconds,
    which ends in `resets_in` seconds (None: no window is open). The window of a `Concurrent` is 0,
    and `used` is how many of its jobs run. `state`: "held" (its key is held for `hold` more
    seconds), "holds back" (jobs wait for a slot), "full" (used up, but no job waits), "open", or
    "idle" (no window is open). `starts`: starts per second, smoothed. `allowed`: the maximum of
    `starts`. `waiting`: jobs that wait: `parked` ones, and ones `released` until a window ends.
    `held`: jobs that this pool holds back per minute, None if not known yet. `spark`: jobs held
    back in each 2 seconds of the last minute, the newest last. `next_slot`: seconds until one more
    job may start, 0.0 if one may now. `empty_in`: seconds until no job waits if no more come, so it
    is a minimum; None if no job waits, or if the jobs wait for something else. `starts_total`: how
    many starts the engine has counted. `held_total`: jobs that this pool has held back for limits
    with its key. With costs, a start counts as several in `used`, `starts`, `starts_total` and
    `allowed`. `sliding`: whether the window slides. `declared`: the limit in the code (0: unknown)
    if a person has set `limit`, else None. `since`: when it began to hold jobs back or to be held,
    in monotonic seconds of this host; None if it does neither, or was observed only once."""

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
    starts_total: int = 0
    held_total: int = 0
    sliding: bool = False
    declared: int | None = None
    hold: float = 0.0
    since: float | None = None

    @property
    def is_gate(self) -> bool:
        """Whether it limits how many jobs run at once, and not how many start in a window."""
        return self.window == 0 and not self.is_hold

    @property
    def is_hold(self) -> bool:
        """Whether this is not a limit, but the entry of a hold."""
        return not self.limit

    @property
    def is_short(self) -> bool:
        """Whether its windows end too often for people to follow."""
        return 0 < self.window <= SHORT_WINDOW

    @property
    def holds_back(self) -> bool:
        return self.state == HOLDS_BACK or (self.state == HELD and self.waiting > 0)

    @property
    def has_free_slot(self) -> bool:
        """Whether jobs wait although the limit would let one start."""
        is_open = self.used < self.limit or self.is_hold
        return self.waiting > 0 and self.next_slot <= 0 and is_open


def blocks_parked(use: LimitUse) -> bool:
    """Return whether no parked job may start now."""
    return use.window.used >= use.rule.limit or (use.slot_in > 0 and not isinstance(use.rule, Gate))


def of_use(use: LimitUse) -> LimitStatus:
    """Return the status of a limit that has been observed only once."""
    blocks = bool(use.released or (use.parked and blocks_parked(use)))
    return later(observed(use, holds_back=blocks), 0.0)


def observed(use: LimitUse, *, holds_back: bool, **watched: Any) -> LimitStatus:
    """Return a limit as it was observed. `holds_back`: whether jobs wait for its slots. `watched`:
    the fields that can be known only from several observations."""
    rule, hold, remaining = use.rule, _seconds(use.hold), _seconds(use.resets_in)
    window = window_of(rule)
    used = use.window.used if remaining or isinstance(rule, Gate) else 0
    waiting = use.parked + use.released
    full = used >= rule.limit > 0
    if hold or holds_back:
        state = HELD if hold else HOLDS_BACK
    else:
        state = FULL if full else OPEN if waiting or used else IDLE
    next_slot = hold
    if window:
        slot = _seconds(use.slot_in) if use.parked else 0.0
        next_slot = max(hold, slot, remaining if full else 0.0)
    empty_in: float | None = None
    if waiting and isinstance(rule, HeldKey):
        empty_in = hold
    elif window and waiting and holds_back:
        later = waiting - (0 if next_slot else rule.limit - used)  # the starts in later windows
        begins = next_slot or remaining or window
        empty_in = begins + (later - 1) // rule.limit * window if later > 0 else 0.0
    return LimitStatus(
        key=rule.key, limit=rule.limit, window=window, used=used,
        resets_in=remaining if window and used else None, state=state,
        allowed=rule.limit / window if window else 0.0, parked=use.parked, released=use.released,
        waiting=waiting, next_slot=next_slot, empty_in=empty_in, sliding=is_sliding(rule),
        declared=use.declared, hold=hold, **watched,
    )  # fmt: skip


def later(status: LimitStatus, passed: float) -> LimitStatus:
    """Return the status `passed` seconds after the observation, with shorter remaining times. A
    hold whose time is over has ended. A window whose time is over has ended, too, unless it slides
    or jobs wait for it. All else is shown as it was."""
    hold, remaining = max(0.0, status.hold - passed), status.resets_in
    state, used = status.state, status.used
    if remaining is not None:
        remaining = max(0.0, remaining - passed)
        if not (remaining or status.waiting or status.sliding):
            remaining, used, state = None, 0, IDLE if state in (FULL, OPEN) else state
    if state == HELD and not hold:
        state = HOLDS_BACK if status.waiting else OPEN
    return msgspec.structs.replace(
        status,
        state=state,
        used=used,
        resets_in=remaining,
        next_slot=max(0.0, status.next_slot - passed),
        empty_in=None if status.empty_in is None else max(0.0, status.empty_in - passed),
        hold=hold,
    )


def window_of(rule: Listed) -> float:
    """The window of a rule in seconds, 0 for a gate or a hold."""
    return rule.window / 1e6 if isinstance(rule, Rule) else 0.0


def _seconds(micros: int) -> float:
    return max(0, micros) / 1e6
