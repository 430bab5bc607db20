"""Rate limits as values: what a job declares, and the arithmetic of a fixed window (pure).

A window opens with its first start and lasts `window` microseconds; at most `limit` jobs may start
within it. The starts are counted in the engine's store (`Engine.admit`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from poolq.common import date_parser
from poolq.common.durations import MAX_MICROSECONDS
from poolq.errors import LimitError

OnLimit = Literal["release", "park"]
#: The units of a window, each with its length in microseconds.
WINDOW_UNITS = {
    unit: date_parser.UNIT_MICROSECONDS[unit[0]] for unit in ("seconds", "minutes", "hours", "days")
}
MAX_LIMIT = 2**31 - 1  # the largest count that every engine can store
MAX_KEY_BYTES = 255  # bytes in UTF-8
LIMIT_FIELDS = ("limit", *WINDOW_UNITS, "key", "jitter", "on_limit")


class Rule(NamedTuple):
    """A limit for engines, which count starts by `(key, window)`; `window` is in microseconds."""

    key: str
    limit: int
    window: int


class Admission(NamedTuple):
    """The answer of `Engine.admit`.

    `wait` is 0 if the job may start, otherwise the microseconds until the window of the refusing
    rule ends; `rule` is that rule's position in the request, and `until` the end of its window by
    the engine's clock, in microseconds since the epoch. `stale` means that the rules were not
    checked, because the job now belongs to another worker.
    """

    wait: int
    rule: int = -1
    stale: bool = False
    until: int = 0


class Window(NamedTuple):
    """The state of a counter: `used` starts since `start` (microseconds since the epoch)."""

    start: int
    used: int


@dataclass(frozen=True, slots=True, init=False)
class Limit:
    """A rate limit. `Limit(10, seconds=1)` allows at most 10 starts in a window of one second.

    Give exactly one of `seconds`, `minutes`, `hours` and `days`. `key` names the counter (default:
    the job's name); `jitter`, a share of the window from 0 to 1, spreads out the jobs that the
    limit releases; `on_limit` overrides the job's option. Raises LimitError (a ValueError).
    """

    limit: int
    window: int
    key: str | None
    jitter: float
    on_limit: OnLimit | None

    def __init__(
        self,
        limit: int,
        *,
        seconds: float | None = None,
        minutes: float | None = None,
        hours: float | None = None,
        days: float | None = None,
        key: str | None = None,
        jitter: float = 0.0,
        on_limit: OnLimit | None = None,
    ) -> None:
        spans = {"seconds": seconds, "minutes": minutes, "hours": hours, "days": days}
        set_field = object.__setattr__
        set_field(self, "limit", _limit(limit))
        set_field(self, "window", _window(spans))
        set_field(self, "key", _key(key))
        set_field(self, "jitter", _jitter(jitter))
        set_field(self, "on_limit", _on_limit(on_limit))

    @classmethod
    def parse(cls, value: object, job: str) -> "tuple[Limit, ...]":
        """Return the limits in what `rate_limit()` returned: None, a Limit, a mapping, or a list.

        Raises LimitError, whose message names the job.
        """
        if value is None:
            return ()
        items = value if isinstance(value, (list, tuple)) else [value]
        try:
            limits = tuple(cls._one(item) for item in items)
            counters = {(limit.key or job, limit.window) for limit in limits}
            if len(counters) < len(limits):
                raise LimitError("two limits with the same key and window would share a counter")
        except LimitError as error:
            raise LimitError(f"rate_limit of {job}: {error}") from None
        return limits

    @classmethod
    def _one(cls, item: object) -> "Limit":
        if isinstance(item, Limit):
            return item
        if not isinstance(item, Mapping):
            raise LimitError(
                f"{item!r} is not a limit; return None, a Limit, a dict or a list of them"
            )
        unknown = [str(name) for name in item if name not in LIMIT_FIELDS]
        if unknown:
            raise LimitError(f"unknown {', '.join(unknown)}; use {', '.join(LIMIT_FIELDS)}")
        if "limit" not in item:
            raise LimitError(f"{dict(item)!r} has no 'limit'")
        return cls(**item)

    def rule(self, job: str) -> Rule:
        """Return the limit as a rule for engines, with the job's name as the default key."""
        return Rule(self.key or job, self.limit, self.window)


#: What `rate_limit()` may return.
RateLimit = Limit | Mapping[str, object] | Sequence[Limit | Mapping[str, object]] | None


def _limit(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_LIMIT:
        raise LimitError(f"limit is {value!r}; it must be a whole number of 1 or more")
    return value


def _window(spans: Mapping[str, object]) -> int:
    given = {unit: span for unit, span in spans.items() if span is not None}
    if len(given) != 1:
        units = " and ".join(given) or "no unit"
        raise LimitError(f"{units} given; give exactly one of {', '.join(WINDOW_UNITS)}")
    ((unit, span),) = given.items()
    if isinstance(span, bool) or not isinstance(span, (int, float)) or not span > 0:
        raise LimitError(f"{unit} is {span!r}; it must be a number above 0")
    if span > MAX_MICROSECONDS / WINDOW_UNITS[unit]:
        raise LimitError(f"{unit} is {span!r}; more than 100 years is not allowed")
    return max(1, round(span * WINDOW_UNITS[unit]))


def _key(value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise LimitError(f"key is {value!r}; it must be text of 1 to {MAX_KEY_BYTES} bytes")
    if not 1 <= len(value.encode("utf-8", "replace")) <= MAX_KEY_BYTES:
        raise LimitError(f"key is {value[:40]!r}; it must be text of 1 to {MAX_KEY_BYTES} bytes")
    if not value.isprintable():
        raise LimitError(f"key is {value!r}; it must be text without control characters")
    return value


def _jitter(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise LimitError(f"jitter is {value!r}; it must be a share from 0 to 1")
    return float(value)


def _on_limit(value: object) -> OnLimit | None:
    if value is None or value == "release" or value == "park":  # noqa: PLR1714  # mypy narrows this
        return value
    raise LimitError(f"on_limit is {value!r}; write 'release' or 'park'")


def take(rule: Rule, window: Window | None, now: int) -> tuple[Window, int]:
    """Try to start under `rule` at `now`. Return the new window and the microseconds to wait.

    A window that begins in the future counts as over, since the clock was set back after it opened.
    """
    if window is None or not window.start <= now < window.start + rule.window:
        return Window(now, 1), 0
    if window.used < rule.limit:
        return Window(window.start, window.used + 1), 0
    return window, window.start + rule.window - now
