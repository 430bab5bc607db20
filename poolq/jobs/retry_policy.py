"""How a job is retried: the delays between its attempts, and what each kind of error means (pure).

The delays and the jitter are stored with the job. What an error means is part of the job's code, so
a reload changes it also for jobs that are already stored.
"""

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import msgspec

from poolq.common import checks
from poolq.common.durations import MAX_MICROSECONDS, Duration, is_duration, micros, span
from poolq.errors import DurationError, OptionError
from poolq.jobs.message import MAX_ATTEMPTS, MAX_RETRY_STEPS

MAX_FACTOR = 1_000
FINAL_ACTIONS = ("discard", "fail")


class Backoff(msgspec.Struct, frozen=True):
    """Delays that grow from attempt to attempt: `Backoff("1s", factor=2, most="1h", jitter=0.2)`.

    Each delay is `factor` times the one before it, and at most `most`. A random part, at most
    `jitter` (0 to 1) times the delay, is added, so that jobs which failed together do not all
    return together. Raises OptionError, DurationError.
    """

    first: Duration
    factor: float = 2
    most: Duration = "1 day"
    jitter: float = 0.0

    def __post_init__(self) -> None:
        first, most = micros(self.first, "Backoff: first"), micros(self.most, "Backoff: most")
        if not first:
            raise OptionError(f"Backoff: first is {self.first!r}; it must be longer than 0")
        if first > most:
            raise OptionError(f"Backoff: first, {self.first!r}, is longer than most, {self.most!r}")
        checks.number(self.factor, "Backoff: factor", MAX_FACTOR, 1)
        checks.number(self.jitter, "Backoff: jitter")

    def steps(self) -> tuple[int, ...]:
        """Return the delays (µs, without jitter). The last one is for all later retries."""
        first, most = micros(self.first, "first"), micros(self.most, "most")
        found = [first]
        while found[-1] < most and self.factor > 1 and len(found) < MAX_RETRY_STEPS:
            found.append(min(most, round(first * self.factor ** len(found))))
        return tuple(found)


RetryAfter = Duration | Sequence[Duration] | Backoff | None


class Retry(msgspec.Struct, frozen=True):
    """An entry of `retry_on`: what to do after an error of one kind. `attempts` and `after` replace
    the job's own `attempts` and `retry_after`, and are written like them. Raises OptionError,
    DurationError."""

    attempts: int | None = None
    after: RetryAfter = None

    def __post_init__(self) -> None:
        if self.attempts is not None:
            checks.whole(self.attempts, "Retry: attempts", MAX_ATTEMPTS)
        read_steps(self.after, "Retry: after")


RetryOn = Mapping[type[BaseException], Retry | Literal["discard", "fail"]]


class ErrorRule(NamedTuple):
    """What an error means. `action`: retry, discard or fail. `steps` is like `Message.retry_after`.
    If `attempts` is 0, or `steps` or `jitter` is None, the job's own value applies."""

    action: str = "retry"
    attempts: int = 0
    steps: tuple[int | str, ...] | None = None
    jitter: float | None = None


DEFAULT_RULE = ErrorRule()
FAIL_RULE = ErrorRule("fail")


def read_rules(value: object, what: str) -> dict[type[BaseException], ErrorRule]:
    """Read a job's `retry_on`. Raises OptionError."""
    if not isinstance(value, Mapping):
        raise OptionError(f"{what} is {value!r}; write a dict such as {{TimeoutError: 'discard'}}")
    found = {}
    for kind, given in value.items():
        if not isinstance(kind, type) or not issubclass(kind, BaseException):
            raise OptionError(f"{what} has the key {kind!r}; its keys are classes of exceptions")
        if isinstance(given, Retry):
            steps = None if given.after is None else read_steps(given.after, "Retry: after")
            jitter = given.after.jitter if isinstance(given.after, Backoff) else None
            found[kind] = ErrorRule("retry", given.attempts or 0, steps, jitter)
        elif given in FINAL_ACTIONS:
            found[kind] = ErrorRule(str(given))
        else:
            raise OptionError(
                f"{what}[{kind.__name__}] is {given!r}; write Retry(…), 'discard' or 'fail'"
            )
    return found


def rule_of(rules: Mapping[type[BaseException], ErrorRule], error: BaseException) -> ErrorRule:
    """Return the rule of the error's class, or else of the nearest of its base classes."""
    return next((rules[kind] for kind in type(error).__mro__ if kind in rules), DEFAULT_RULE)


def read_answer(value: object, what: str) -> ErrorRule | None:
    """Read what a job's `retry()` has returned; None means that `retry_on` decides. Raises
    OptionError, DurationError."""
    if value is None:
        return None
    if isinstance(value, str) and value in FINAL_ACTIONS:
        return ErrorRule(value)
    try:
        return ErrorRule(steps=(span(value, f"{what}: the delay"),))
    except DurationError:
        if is_duration(value):  # it is a duration, but negative or too long
            raise
        raise OptionError(
            f"{what} returned {value!r}; return a delay, 'discard', 'fail' or None"
        ) from None


def read_steps(value: object, what: str) -> tuple[int | str, ...]:
    """Return the delays of the option `retry_after`; the last one is for all later retries. Raises
    OptionError, DurationError."""
    if value is None:
        return ()
    if isinstance(value, Backoff):
        return value.steps()
    if isinstance(value, (list, tuple)):
        if len(value) > MAX_RETRY_STEPS:
            raise OptionError(
                f"{what} has {len(value)} steps; at most {MAX_RETRY_STEPS} are allowed"
            )
        return tuple(span(step, f"{what}[{index}]") for index, step in enumerate(value))
    step = span(value, what)
    return (step,) if step else ()


def with_jitter(delay: int, jitter: float, rand: float) -> int:
    """Return the delay plus a random part: `rand` (0 to 1) times `jitter` times the delay."""
    return min(delay + int(delay * jitter * rand), MAX_MICROSECONDS) if jitter else delay
