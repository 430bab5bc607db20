"""The options of a job: parsing, validation and merging.

Options are read when a job is dispatched and are stored with it. The caller decides where they come
from (a class, `set()`, `dispatch()`, a decorator) and when they are checked. The options of a class
are checked when it is defined.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import NoReturn, TypedDict, TypeVar

import msgspec

from poolq.common import checks
from poolq.common.durations import Duration, Moment, is_duration, micros, when
from poolq.common.names import check_name, suggestion
from poolq.errors import OptionError
from poolq.jobs import clock
from poolq.jobs.limits import Concurrent, OnLimit, read_on_limit
from poolq.jobs.message import MAX_ATTEMPTS, MAX_CRASHES, MAX_SNOOZES, NO_JITTER
from poolq.jobs.retry_policy import Backoff, RetryAfter, read_steps
from poolq.jobs.unique import Unique

Delay = Moment | None
T = TypeVar("T")


class DispatchOptions(TypedDict, total=False):
    """Keyword arguments of `dispatch()` and `set()`; each is also a class attribute of jobs."""

    queue: str
    delay: Delay
    attempts: int
    retry_after: RetryAfter
    max_crashes: int
    on_limit: OnLimit
    timeout: Duration | None
    jitter: float | None
    max_snoozes: int | None
    unique: Unique | None
    expires: Duration | None
    concurrent: Concurrent | None


class Options(msgspec.Struct, frozen=True):
    """Parsed options. Durations are in microseconds; a `timeout` of 0 means none. A `delay` that is
    not an integer is a point in time (a datetime or text), which `due` evaluates for each job. Text
    in `retry_after` is a span of calendar months (`date_parser.span`). A `max_snoozes` of 0 means
    any number, and an `expires` of 0 never."""

    queue: str = "default"
    delay: int | str | datetime = 0
    attempts: int = 1
    retry_after: tuple[int | str, ...] = ()
    max_crashes: int = 3
    on_limit: OnLimit = "release"
    timeout: int = 0
    jitter: float = NO_JITTER
    max_snoozes: int = 0
    unique: Unique | None = None
    expires: int = 0
    concurrent: Concurrent | None = None

    def changed(self, given: Mapping[str, object], job: str) -> "Options":
        """Return a copy with `given` options. Raises OptionError, which names job and option."""
        if not given:
            return self
        read: dict[str, object] = {}
        for option, value in given.items():
            reader = _READERS.get(option)
            if reader is None:
                _unknown(option, job)
            read[option] = reader(value, f"job {job}: {option}")
        growing = given.get("retry_after")
        if isinstance(growing, Backoff):
            if growing.jitter and given.get("jitter") is not None:
                raise OptionError(f"job {job}: jitter is given twice; leave it to the Backoff")
            read["jitter"] = growing.jitter or read.get("jitter", NO_JITTER)
        return msgspec.structs.replace(self, **read)

    def parking(self) -> "Options":
        """Return a copy that makes the dispatch park jobs, if they have `concurrent`."""
        one = self.concurrent
        return self if one is None else msgspec.structs.replace(self, concurrent=one.parking())

    def due(self, job: str) -> tuple[int, int]:
        """Return `(delay, at)` of a job that is dispatched now, as `durations.when` does."""
        if isinstance(self.delay, int):
            return self.delay, 0
        return when(self.delay, _now(), f"job {job}: delay")


def _now() -> datetime:
    return datetime.fromtimestamp(clock.now() / 1e6)  # noqa: DTZ006  # "tomorrow" is a local day


def micros_until(delay: Delay, what: str) -> int:
    """Return for how many microseconds from now a delay lasts. Raises DurationError."""
    now = _now()
    wait, at = when(delay, now, what)
    return at - round(now.timestamp() * 1_000_000) if at else wait


def _delay(value: object, what: str) -> int | str | datetime:
    delay, _ = when(value, _now(), what)
    if is_duration(value):
        return delay
    assert isinstance(value, (datetime, str))  # `when` accepts no other points in time
    return value


def _whole(most: int) -> Callable[[object, str], int]:
    return lambda value, what: checks.whole(value, what, most)


def _or_none(read: Callable[[object, str], T], none: T) -> Callable[[object, str], T]:
    """Return a reader of an option that may be None. It reads None as `none`."""
    return lambda value, what: none if value is None else read(value, what)


def _made(kind: type[T], example: str) -> Callable[[object, str], T]:
    """Return a reader of an option whose value must be an object of this class."""

    def read(value: object, what: str) -> T:
        if isinstance(value, kind):
            return value
        raise OptionError(f"{what} is {value!r}; write {example}, or None")

    return read


def _jitter(value: object, what: str) -> float:
    return checks.number(value, what) or NO_JITTER


def _expires(value: object, what: str) -> int:
    if lasts := micros(value, what):
        return lasts
    raise OptionError(f"{what} is {value!r}; write a duration above 0, or None for never")


_READERS: Mapping[str, Callable[[object, str], object]] = {
    "queue": check_name,
    "delay": _delay,
    "attempts": _whole(MAX_ATTEMPTS),
    "retry_after": read_steps,
    "max_crashes": _whole(MAX_CRASHES),
    "on_limit": read_on_limit,
    "timeout": _or_none(micros, 0),
    "jitter": _or_none(_jitter, NO_JITTER),
    "max_snoozes": _or_none(_whole(MAX_SNOOZES), 0),
    "unique": _or_none(_made(Unique, "poolq.Unique('field')"), None),
    "expires": _or_none(_expires, 0),
    "concurrent": _or_none(_made(Concurrent, "poolq.Concurrent(2, by='field')"), None),
}

#: The names of all options, in the order of Options' fields.
OPTIONS = tuple(_READERS)
DEFAULTS = Options()


def _unknown(option: str, job: str) -> NoReturn:
    known = f"the options are {', '.join(OPTIONS)}; data belongs in the payload, a dict"
    hint = suggestion(option, OPTIONS, known)
    raise OptionError(f"job {job}: unknown option {option}; {hint}")
