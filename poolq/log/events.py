"""The events of the log, as values: what happens to jobs and limits. The words of all events except
`Note` are here; `formats.py` adds the beginning of a line, or writes JSON.

`2026-11-25 10:00:00.123 worker 2: done jobs:SendMail 0192… queue=emails attempt=1 in 12.3 ms`

Durations are in seconds; `attempt` counts from 1. A class defines its line as the format WORDS, or
overrides the method `words` if a format is not enough.
"""

import re
from collections.abc import Mapping
from typing import Any, ClassVar

import msgspec

from poolq.common import units
from poolq.common.escaping import clean

PREFIXES = {"info": "", "warning": "warning: ", "error": "error: "}
#: The fields of events that contain names of jobs, queues and limits.
NAME_FIELDS = ("job", "id", "queue", "key")
CONTINUED = " [continued]"
NO_MODULE = "no module of the application defines it"


def _name(kind: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", kind).lower()


class Event(msgspec.Struct, frozen=True, array_like=True, tag=_name):
    """`BURST`: the common words of similar events that are shown as one burst, as a format; "" if
    each event is shown alone."""

    LEVEL: ClassVar[str] = "info"
    WORDS: ClassVar[str] = ""
    BURST: ClassVar[str] = ""

    def severity(self) -> str:
        """Return info, warning or error."""
        return self.LEVEL

    def words(self) -> str:
        return self.WORDS.format(self)

    def brief(self) -> str:
        """Return one short line for a list of events, with the most important words first."""
        return describe(self).partition("\n")[0].removeprefix(PREFIXES[self.severity()])


class Ended(Event, frozen=True):
    """How a claim ended, and what became of the job."""

    job: str
    id: str
    queue: str


class _Attempt(Ended, frozen=True):
    attempt: int

    @property
    def who(self) -> str:
        return f"{self.job} {self.id} queue={self.queue} attempt={self.attempt}"


class _Ran(_Attempt, frozen=True):
    seconds: float

    @property
    def ran(self) -> str:
        return f"{self.who} after {span(self.seconds)}"


class Finished(_Ran, frozen=True):
    """`run()` returned."""

    def words(self) -> str:
        return f"done {self.who} in {span(self.seconds)}"


class Retried(_Attempt, frozen=True):
    """An attempt failed and others remain. `cause`: error, released or timeout."""

    LEVEL = "warning"
    BURST = "retried {0.job}"
    attempts: int
    seconds: float
    cause: str
    error: str
    delay: float
    traceback: str = ""

    def words(self) -> str:
        text = f"retried {self.who}/{self.attempts} after {span(self.seconds)}, {_again(self)}"
        return _with_cause(text, self)

    def brief(self) -> str:
        attempt = f"attempt {self.attempt} of {self.attempts}"
        return f"retried {self.job}, {attempt}: {self.error}; {self.id}"


class Failed(_Ran, frozen=True):
    """A job failed for good. `cause`: the cause of the last entry in the job's history. `headers`:
    those with which it was dispatched, or None."""

    LEVEL = "error"
    cause: str
    error: str
    traceback: str = ""
    headers: Mapping[str, str] | None = None

    def words(self) -> str:
        return _with_cause(f"failed {self.ran}", self)


class Discarded(_Ran, frozen=True):
    """A job ended with an error that its class declares unimportant. The job is deleted."""

    WORDS = "discarded {0.ran}: {0.error}"
    error: str


class Snoozed(_Ran, frozen=True):
    """A job has postponed itself, without using an attempt. `snoozes`: how often so far."""

    delay: float
    snoozes: int

    def words(self) -> str:
        times = f"snoozed {self.snoozes} times" if self.snoozes > 1 else "snoozed once"
        return f"snoozed {self.ran}, {_again(self)} ({times} so far)"


class Expired(_Attempt, frozen=True):
    """A job was too late to be run, and is deleted. `attempt`: how many attempts it had used.
    `late`: how many seconds ago it expired."""

    late: float

    def words(self) -> str:
        return f"expired {self.who}, {span(self.late)} too late to be run"


class Limited(_Attempt, frozen=True):
    """A rate limit held a job back. `how`: released (which counts as an attempt) or parked. `left`:
    how many attempts remain."""

    how: str
    key: str
    wait: float
    left: int = 0

    def words(self) -> str:
        how_long = f" for {span(self.wait)}" if self.wait else ""  # unknown under `Concurrent`
        return f"limited {self.who} {self.how} by {self.key}{how_long}"


class Held(_Ran, frozen=True):
    """A job has put a hold of `wait` seconds on a limit key. The job itself waits until the hold
    ends, and has used no attempt."""

    key: str
    wait: float

    def words(self) -> str:
        return f"held {self.ran}: limit key {self.key} is held for {span(self.wait)}"


class Unknown(Ended, frozen=True):
    """A job was released without using an attempt, because no module defines it, or because a newer
    version of poolq stored it. `why` says which. The next deploy may make the job known."""

    LEVEL = "warning"
    BURST = "unknown {0.job}"
    delay: float
    why: str = NO_MODULE

    def words(self) -> str:
        text = f"{self.why}; released for {span(self.delay)} without using an attempt"
        return f"unknown {self.job} {self.id} queue={self.queue}: {text}"


class Buried(Ended, frozen=True):
    """A message that cannot be run was moved to the failed jobs."""

    LEVEL = "error"
    WORDS = "buried {0.job} {0.id} queue={0.queue}: {0.error}"
    error: str


class HookFailed(Event, frozen=True):
    """`on_success`, `on_failure`, `on_discard` or `on_expired` raised. This does not change the
    job's outcome."""

    LEVEL = "error"
    WORDS = "{0.hook} of {0.job} {0.id} raised; the outcome stands: {0.error}\n{0.traceback}"
    BURST = "{0.hook} of {0.job}"
    job: str
    id: str
    hook: str
    error: str
    traceback: str


class Stale(Event, frozen=True):
    """A settlement was refused because the job was cancelled, or given to another worker."""

    LEVEL = "warning"
    WORDS = (
        "warning: stale settlement of {0.id} refused: the job was cancelled, or given to another"
        " worker"
    )
    BURST = "stale settlements"
    job: str
    id: str


class Returned(Event, frozen=True):
    """Prefetched jobs were returned to their queues, because the running one is long."""

    WORDS = "returned {0.jobs} prefetched jobs to their queues: the running job is long"
    jobs: int


class _Killed(Event, frozen=True):
    id: str
    error: str


class Crashed(_Killed, frozen=True):
    """A worker died while it ran a job. The job is back in its queue."""

    LEVEL = "warning"
    WORDS = "warning: recovered {0.id}, back at the head of its queue: {0.error}"
    BURST = "recovered jobs"


class TimedOut(_Killed, frozen=True):
    """A worker was killed at its job's deadline. The job used an attempt and is queued again."""

    LEVEL = "warning"
    WORDS = "warning: recovered {0.id}, which timed out: {0.error}; its attempt is counted"
    BURST = "recovered jobs"


class Cancelled(_Killed, frozen=True):
    """A person has cancelled a running job, so its worker was killed. The job is deleted."""

    WORDS = "cancelled {0.id}, which was running: {0.error}"
    BURST = "cancelled running jobs"


class _OfLimit(Event, frozen=True):
    """A rate limit. It allows `limit` starts in a window of `window` seconds or, if `window` is 0,
    `limit` running jobs at once."""

    key: str
    limit: int
    window: float

    def named(self, *, sliding: bool) -> str:
        """Return its name and rule: `rate limit mail (10 per 1m)`, or `(10 in any 1m)` if its
        window slides."""
        kind = "rate" if self.window else "concurrency"
        rule = units.limit_rule(self.limit, self.window, sliding=sliding)
        return f"{kind} limit {self.key} ({rule})"


class LimitBegan(_OfLimit, frozen=True):
    """A limit begins to hold jobs back. `waiting` is the number of jobs that already wait. This is
    reported once, not for each job."""

    waiting: int
    sliding: bool = False

    def words(self) -> str:
        return f"{self.named(sliding=self.sliding)} begins to hold jobs back{_waiting(self)}"


class LimitEnded(_OfLimit, frozen=True):
    """A limit has held jobs back for `seconds`, and no longer does."""

    seconds: float
    sliding: bool = False

    def words(self) -> str:
        limit = self.named(sliding=self.sliding)
        return f"{limit} no longer holds jobs back, after {span(self.seconds)}"


class HoldBegan(Event, frozen=True):
    """A job or a person has put a hold on a limit key. `seconds`: how long it still lasts.
    `waiting`: how many jobs already wait for limits with this key. Extensions are not reported."""

    key: str
    seconds: float
    waiting: int

    def words(self) -> str:
        return f"limit key {self.key} is held for {span(self.seconds)}{_waiting(self)}"


class HoldEnded(Event, frozen=True):
    """The hold of a key has ended, after `seconds`."""

    key: str
    seconds: float

    def words(self) -> str:
        return f"limit key {self.key} is no longer held, after {span(self.seconds)}"


class Note(Event, frozen=True):
    """Any other event. `level`: info, warning or error."""

    level: str
    text: str

    def severity(self) -> str:
        return self.level

    def words(self) -> str:
        return PREFIXES[self.level] + self.text


class Logged(Event, frozen=True, tag="log"):
    """A record of the stdlib's logging. A long `text` comes in pieces."""

    level: str
    logger: str
    text: str
    traceback: str = ""

    def severity(self) -> str:
        return self.level

    def words(self) -> str:
        text = f"{self.level}: {self.logger}: {self.text}"
        return f"{text}\n{self.traceback}" if self.traceback else text


class Printed(Event, frozen=True, tag="output"):
    """A line that a job wrote. `stream`: stdout or stderr; unknown if the line did not come through
    Python's own streams. `more`: whether the next line continues this one."""

    stream: str
    text: str
    more: bool = False

    def words(self) -> str:
        return self.text + CONTINUED if self.more else self.text


#: All kinds of events by name, such as `hook_failed`, without the classes that are only bases.
KINDS: dict[str, type[Event]] = {
    str(kind.__struct_config__.tag): kind
    for name, kind in list(globals().items())
    if isinstance(kind, type) and issubclass(kind, Event) and kind not in (Event, Ended)
    if not name.startswith("_")
}


def describe(event: Event) -> str:
    """Return the event in words, with its traceback. A name cannot end the line: it is escaped."""
    text = event.words()
    if text.isprintable():
        return text
    names: dict[str, Any] = {
        field: clean(getattr(event, field)) for field in NAME_FIELDS if hasattr(event, field)
    }
    return msgspec.structs.replace(event, **names).words() if names else text


def span(seconds: float) -> str:
    """Format a duration for a log line: 85 µs, 12.3 ms, 1.50 s, 2 min 5 s."""
    if seconds < 0.001:
        return f"{round(seconds * 1e6)} µs"
    if seconds < 1:
        return f"{seconds * 1e3:.1f} ms"
    if seconds < 60:
        return f"{seconds:.2f} s"
    minutes, remainder = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {remainder} s"


def _again(event: Retried | Snoozed) -> str:
    return f"again in {span(event.delay)}" if event.delay > 0 else "again at once"


def _waiting(event: LimitBegan | HoldBegan) -> str:
    return f"; {event.waiting} waiting" if event.waiting else ""


def _with_cause(text: str, event: Retried | Failed) -> str:
    line = f"{text} ({event.cause}): {event.error}"
    return f"{line}\n{event.traceback}" if event.traceback else line
