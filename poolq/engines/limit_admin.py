"""Changes what limits allow, for applications (`poolq.limits`) and for `poolq limit`."""

from poolq.engines.base import Engine
from poolq.jobs.concurrency import GATE_WINDOW
from poolq.jobs.limits import Limit
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
    def reset(key: str, *, starts: bool = False) -> bool:
        """Undo `set` for all windows of a key; the numbers in the code apply again. With `starts`,
        also forget the starts that count now. Returns whether a limit had been set. Raises
        LimitError, EngineError."""
        return bool(reset_key(engine(), key, starts))


def set_limit(chosen: Engine, limit: Limit) -> None:
    assert limit.key is not None
    chosen.set_limit(limit.key, limit.window, limit.limit)


def reset_key(chosen: Engine, key: str, starts: bool) -> list[int]:
    """Undo `set_limit` for all windows of a key that the engine lists, and forget their starts if
    asked. Returns the windows whose limit had been set, in microseconds."""
    Limit(1, seconds=1, key=key)  # raises LimitError
    windows = known_windows(chosen, key)
    return [window for window in windows if chosen.reset_limit(key, window, starts)]


def known_windows(chosen: Engine, key: str) -> list[int]:
    """Return the windows of a key that the engine lists, in microseconds."""
    found = {use.rule.window for use in chosen.limits() if use.rule.key == key}
    return sorted(found - {GATE_WINDOW})
