"""Changes what limits allow, for applications (`poolq.limits`) and for `poolq limit`."""

from collections.abc import Iterable
from datetime import timedelta
from typing import NamedTuple

from poolq.common.durations import Duration, micros
from poolq.engines.base import Engine, LimitUse
from poolq.errors import DurationError
from poolq.jobs.holds import LENGTH
from poolq.jobs.limits import MAX_SLIDING_LIMIT, Limit, check_key, windows_of
from poolq.jobs.producer import engine


class limits:  # noqa: N801  # it reads as a word: poolq.limits.set("llm", 50, minutes=1)
    """Functions that act on the limits with a key, wherever their jobs run."""

    @staticmethod
    def set(
        key: str,
        limit: int,
        *,
        seconds: float | None = None,
        minutes: float | None = None,
        hours: float | None = None,
        days: float | None = None,
    ) -> None:
        """From now on, allow this many starts under the key in this window, in place of the number
        in the code, until `reset`. Raises LimitError, EngineError."""
        new = Limit(limit, seconds=seconds, minutes=minutes, hours=hours, days=days, key=key)
        set_limit(engine(), new)

    @staticmethod
    def hold(key: str, length: Duration) -> timedelta:
        """Let no job start under the limits with this key for that long. The jobs wait in their
        order, and use no attempts. A hold can only become longer. Returns for how long the key is
        held now. Raises LimitError, DurationError, EngineError."""
        return timedelta(microseconds=hold_key(engine(), key, length))

    @staticmethod
    def reset(key: str, *, starts: bool = False) -> bool:
        """Undo `set` for all windows of a key, and end its hold; the numbers in the code apply
        again. With `starts`, also forget the starts that count now. Returns whether a limit had
        been set or the key was held. Raises LimitError, EngineError."""
        found = reset_key(engine(), key, starts)
        return bool(found.windows) or found.held


def uses_of(chosen: Engine, key: str) -> list[LimitUse]:
    """Return what the engine lists with this key: windows, gates, and its hold. Raises
    LimitError."""
    check_key(key)
    return [use for use in chosen.limits() if use.rule.key == key]


def is_sliding(uses: Iterable[LimitUse], window: int) -> bool:
    """Return whether one of these limits has a sliding window of this length."""
    return any(one.sliding and one.window == window for one in windows_of(use.rule for use in uses))


def set_limit(chosen: Engine, limit: Limit) -> None:
    """Set a limit. Raises LimitError if it is too high and the engine lists a sliding window."""
    assert limit.key is not None
    if limit.limit > MAX_SLIDING_LIMIT and is_sliding(uses_of(chosen, limit.key), limit.window):
        Limit(limit.limit, seconds=limit.window / 1e6, sliding=True)
    chosen.set_limit(limit.key, limit.window, limit.limit)


def hold_key(chosen: Engine, key: object, length: object) -> int:
    """Hold a key. Returns for how many microseconds it is held now."""
    found, wanted = check_key(key), micros(length, LENGTH)
    if wanted <= 0:
        raise DurationError(f"{LENGTH} is {length!r}; reset the key to end a hold")
    return chosen.hold(found, wanted)


class Reset(NamedTuple):
    """What has changed. `windows`: the lengths of the windows whose limits had been set, in
    microseconds; `held`: whether the key was held; `forgot`: whether starts were forgotten."""

    windows: list[int]
    held: bool
    forgot: bool


def reset_key(chosen: Engine, key: str, starts: bool) -> Reset:
    """Undo `set_limit` for all windows of a key that the engine lists, forget their starts if
    asked, and end the key's hold."""
    uses = uses_of(chosen, key)
    found = sorted({rule.window for rule in windows_of(use.rule for use in uses)})
    windows = [window for window in found if chosen.reset_limit(key, window, starts)]
    counted = any(use.resets_in > 0 and use.window.used for use in uses)
    return Reset(windows, chosen.lift(key), starts and counted)
