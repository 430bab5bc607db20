"""The options of a job: parsing, validation and merging.

Options are read when a job is dispatched and are stored with it. The caller decides where they come
from (a class, `set()`, `dispatch()`, a decorator) and when they are checked. The options of a class
are checked when it is defined.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import NoReturn, TypedDict

from poolq.common.durations import Duration, Moment, is_duration, micros, span, when
from poolq.common.names import check_name, suggestion
from poolq.errors import OptionError
from poolq.jobs.limits import OnLimit
from poolq.jobs.message import MAX_ATTEMPTS, MAX_CRASHES, MAX_RETRY_STEPS

Delay = Moment | None
RetryAfter = Duration | Sequence[Duration] | None


class DispatchOptions(TypedDict, total=False):
    """Keyword arguments of `dispatch()` and `set()`; each is also a class attribute of jobs."""

    queue: str
    delay: Delay
    attempts: int
    retry_after: RetryAfter
    max_crashes: int
    on_limit: OnLimit
    timeout: Duration | None


@dataclass(frozen=True, slots=True)
class Options:
    """Parsed options. Durations are in microseconds; a `timeout` of 0 means none. A `delay` that is
    not an integer is a point in time (a datetime or text), which `due` evaluates for each job. Text
    in `retry_after` is a span of calendar months (`date_parser.span`)."""

    queue: str = "default"
    delay: int | str | datetime = 0
    attempts: int = 1
    retry_after: tuple[int | str, ...] = ()
    max_crashes: int = 3
    on_limit: OnLimit = "release"
    timeout: int = 0

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
        return replace(self, **read)  # type: ignore[arg-type]  # each reader returns its field's type

    def due(self, job: str) -> tuple[int, int]:
        """Return `(delay, at)` of a job that is dispatched now, as `durations.when` does."""
        if isinstance(self.delay, int):
            return self.delay, 0
        return when(self.delay, _now(), f"job {job}: delay")


def _now() -> datetime:
    return datetime.now()  # noqa: DTZ005  # "tomorrow 09:00" is meant in local time


def _delay(value: object, what: str) -> int | str | datetime:
    delay, _ = when(value, _now(), what)
    if is_duration(value):
        return delay
    assert isinstance(value, (datetime, str))  # `when` accepts no other points in time
    return value


def _whole(most: int) -> Callable[[object, str], int]:
    def read(value: object, what: str) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
            large = isinstance(value, int) and abs(value) >= 10**20
            shown = "too large" if large else repr(value)
            raise OptionError(f"{what} is {shown}; it must be a whole number from 1 to {most}")
        return int(value)

    return read


def _steps(value: object, what: str) -> tuple[int | str, ...]:
    if value is None:
        return ()
    if isinstance(value, (list, tuple)):
        if len(value) > MAX_RETRY_STEPS:
            raise OptionError(
                f"{what} has {len(value)} steps; at most {MAX_RETRY_STEPS} are allowed"
            )
        return tuple(span(step, f"{what}[{index}]") for index, step in enumerate(value))
    step = span(value, what)
    return (step,) if step else ()


def _on_limit(value: object, what: str) -> OnLimit:
    if value == "release" or value == "park":  # noqa: PLR1714  # mypy narrows only this spelling
        return value
    raise OptionError(f"{what} is {value!r}; write 'release' or 'park'")


def _timeout(value: object, what: str) -> int:
    return 0 if value is None else micros(value, what)


_READERS: Mapping[str, Callable[[object, str], object]] = {
    "queue": check_name,
    "delay": _delay,
    "attempts": _whole(MAX_ATTEMPTS),
    "retry_after": _steps,
    "max_crashes": _whole(MAX_CRASHES),
    "on_limit": _on_limit,
    "timeout": _timeout,
}

#: The names of all options, in the order of Options' fields.
OPTIONS = tuple(_READERS)
DEFAULTS = Options()


def _unknown(option: str, job: str) -> NoReturn:
    known = f"the options are {', '.join(OPTIONS)}; data belongs in the payload, a dict"
    hint = suggestion(option, OPTIONS, known)
    raise OptionError(f"job {job}: unknown option {option}; {hint}")
