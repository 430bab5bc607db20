"""The log's words: every event as one line, worded here and nowhere else.

`2026-11-25 10:00:00.123 worker 2: done jobs:SendMail 0192… queue=emails attempt=1 in 12.3 ms`

A `Log` gathers the lines of its process and writes them with one system call; stdlib logging (the
application's, and poolq's own few warnings) goes the same way, so that nothing interleaves.
"""

import logging
import os
import sys
from datetime import datetime
from functools import singledispatch
from time import time

from poolq.worker import events

LEVELS = {"info": "", "warning": "warning: ", "error": "error: "}
#: Bytes that are kept at most before they are written.
ROOM = 16_384


class Log:
    """A Reporter that writes to a descriptor (default: stderr)."""

    def __init__(self, fd: int = 2) -> None:
        self._fd = fd
        self._who = ""
        self._lines: list[str] = []
        self._size = 0
        self._second = 0
        self._stamp = ""

    def rename(self, who: str) -> None:
        self._who = who
        self._lines, self._size = [], 0

    def report(self, event: events.Event) -> None:
        self.write(words(event))

    def write(self, text: str) -> None:
        """One line, or several with the further ones indented."""
        now = time()
        second = int(now)
        if second != self._second:
            self._second = second
            self._stamp = datetime.fromtimestamp(second).strftime("%Y-%m-%d %H:%M:%S")  # noqa: DTZ006  # local time, as all logs here
        line = f"{self._stamp}.{int(now * 1000) % 1000:03d} {self._who}: {text}\n"
        self._lines.append(line)
        self._size += len(line)
        if self._size > ROOM:
            self.flush()

    def flush(self) -> None:
        if not self._lines:
            return
        data = "".join(self._lines).encode("utf-8", "backslashreplace")
        self._lines, self._size = [], 0
        try:
            while data:
                data = data[os.write(self._fd, data) :]
        except OSError:
            # A log that cannot be written must not end a job: full disk, closed pipe.
            self._lines = []


class Handler(logging.Handler):
    """Stdlib logging into a Log."""

    def __init__(self, log: Log) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = f"{record.levelname.lower()}: {record.name}: {self.format(record)}"
            self._log.write(_indented(text))
            self._log.flush()
        except Exception:  # noqa: BLE001  # logging's own rule: never raise into the caller
            self.handleError(record)


def set_up() -> Log:
    """The process's log on stderr; children forked from it inherit it."""
    log = Log()
    logging.getLogger().addHandler(Handler(log))
    logging.getLogger("poolq").setLevel(logging.INFO)
    sys.stdout.flush()
    return log


@singledispatch
def words(event: events.Event) -> str:
    """The event in words."""
    raise TypeError(f"{type(event).__name__} has no words")


def _job(event: events.Finished | events.Retried | events.Failed | events.Limited) -> str:
    return f"{event.job} {event.id} queue={event.queue} attempt={event.attempt}"


@words.register
def _(event: events.Finished) -> str:
    return f"done {_job(event)} in {span(event.seconds)}"


@words.register
def _(event: events.Retried) -> str:
    when = f"again in {span(event.delay)}" if event.delay > 0 else "again at once"
    text = f"retried {_job(event)}/{event.attempts} after {span(event.seconds)}, {when}"
    return _with_cause(text, event.cause, event.error, event.traceback)


@words.register
def _(event: events.Failed) -> str:
    text = f"failed {_job(event)} after {span(event.seconds)}"
    return _with_cause(text, event.cause, event.error, event.traceback)


@words.register
def _(event: events.Limited) -> str:
    return f"limited {_job(event)} {event.how} by {event.key} for {span(event.wait)}"


@words.register
def _(event: events.Unknown) -> str:
    text = "no module of the application defines it; put back, uncounted"
    return f"unknown {event.job} {event.id} queue={event.queue}: {text} for {span(event.delay)}"


@words.register
def _(event: events.Buried) -> str:
    return f"buried {event.job} {event.id} queue={event.queue}: {event.error}"


@words.register
def _(event: events.HookFailed) -> str:
    text = f"{event.hook} of {event.job} {event.id} raised; its outcome stands: {event.error}"
    return _indented(f"{text}\n{event.traceback}")


@words.register
def _(event: events.Stale) -> str:
    return f"warning: stale settlement of {event.id} refused: it had been given to another worker"


@words.register
def _(event: events.Returned) -> str:
    return f"gave {event.jobs} claimed-ahead jobs back: the one that runs is long"


@words.register
def _(event: events.Crashed) -> str:
    return f"warning: recovered {event.id}, back at the head of its queue: {event.error}"


@words.register
def _(event: events.TimedOut) -> str:
    return f"warning: recovered {event.id}, which timed out: {event.error}; its attempt is counted"


@words.register
def _(event: events.Note) -> str:
    return LEVELS[event.level] + event.text


def _with_cause(text: str, cause: str, error: str, trace: str) -> str:
    line = f"{text} ({cause}): {error}"
    return _indented(f"{line}\n{trace}") if trace else line


def _indented(text: str) -> str:
    return "\n    ".join(text.rstrip().splitlines())


def span(seconds: float) -> str:
    """A duration as a person reads it: 85 µs, 12.3 ms, 1.50 s, 2 min 5 s."""
    if seconds < 0.001:
        return f"{seconds * 1e6:.0f} µs"
    if seconds < 1:
        return f"{seconds * 1e3:.1f} ms"
    if seconds < 60:
        return f"{seconds:.2f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
