"""The log of one process: events, the stdlib's logging, and what Python code prints.

All of it goes through one `Log`, which keeps the order. It is buffered, then written in whole lines
to the process's pipe, or to stderr if the process has no pipe yet (see `attach`). The logger
handles what other programs write to the pipe.
"""

import io
import logging
import os
import sys
import threading
import weakref
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from time import time

from poolq.jobs.callbacks import current
from poolq.log.events import Ended, Event, LimitBegan, LimitEnded, Logged, Note, describe
from poolq.log.formats import FORMATS, Format
from poolq.log.frames import cut, end_of_job, frames, output, unread

#: Seconds that a job takes at least if it starts a subprocess.
MIN_SUBPROCESS_TIME = 0.0005
#: Maximum bytes that are buffered before they are written.
BUFFER_BYTES = 16_384
LEVEL_NUMBERS = {"info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
#: Every event is also a record of this logger, for handlers of the application. The logger's level
#: determines which events are logged at all.
EVENT_LOGGER = logging.getLogger("poolq.events")
#: Routine events that are shown to people. The events of each job would be too many.
_SHOWN = (Note, LimitBegan, LimitEnded)
OnEvent = Callable[[float, str, Event], None]


class Log:
    """Takes events: `report` may buffer them, `flush` writes them. It may be used in threads, and
    in children that a job forks."""

    def __init__(self, formatter: Format, fd: int = 2) -> None:
        self.formatter = formatter
        self._fd = fd
        self._token = b""
        self._who = ""
        self._job: Callable[[], str] = str
        self._on_event: OnEvent | None = None  # nobody is watching
        self._dropped = 0
        self._prints = False
        self._forget()
        reference = weakref.WeakMethod(self._forget)
        os.register_at_fork(after_in_child=lambda: (forget := reference()) and forget())

    def _forget(self) -> None:
        """Drop what the parent process has buffered, since the parent writes that itself."""
        self._blocks: deque[bytes] = deque()
        self._size = 0
        self._lock = threading.RLock()
        self._sending = False
        #: The descriptors to which the running job has written an unfinished line, each with the
        #: stream that may hold a part of the line.
        self.unfinished: dict[int, OutputStream | None] = {}

    def rename(self, writer: str) -> None:
        self._who = writer
        self._forget()

    def attach(
        self,
        writer: str,
        fd: int,
        token: bytes,
        *,
        job: Callable[[], str] = str,
        on_event: OnEvent | None = None,
        streams: bool = True,
    ) -> None:
        """Log as `writer`, through the pipe `fd`. If the pipe is non-blocking and full, lines are
        dropped and counted. `streams`: whether to replace sys.stdout and sys.stderr, too. `job()`
        returns the id of the job that this process runs, or ""; the id labels output of threads.
        `on_event` receives warnings, errors and the events of _SHOWN."""
        self.rename(writer)
        self._fd, self._token, self._job, self._on_event = fd, token, job, on_event
        if streams and not self._prints:  # workers keep the template's streams: code may hold them
            self._prints = True
            sys.stdout, sys.stderr = OutputStream(self, 1), OutputStream(self, 2)

    # what is logged

    def report(self, event: Event) -> None:
        if self.unfinished and isinstance(event, Ended):
            self.end_lines()
        number = LEVEL_NUMBERS[event.severity()]
        if self._on_event and (number > logging.INFO or type(event) in _SHOWN):
            self._on_event(time(), self._who, event)
        if number < EVENT_LOGGER.level:
            return
        self._append(self.formatter.event(time(), self._who, event))
        if number > logging.INFO or len(EVENT_LOGGER.handlers) > 1:
            self._offer(event, number)

    def record(self, record: logging.LogRecord, trace: str) -> None:
        """Write a record of the stdlib's logging at once."""
        for piece, continues in cut(record.getMessage().encode("utf-8", "backslashreplace")):
            name, end = record.levelname.lower(), "" if continues else trace
            event = Logged(name, record.name, piece.decode(), end)
            self._append(self.formatter.event(record.created, self._who, event, self._running()))
        self.flush()

    def output(self, fd: int, data: bytes) -> None:
        """Pass on what Python code wrote to stdout (1) or stderr (2), not split into lines yet."""
        self.flush()
        for frame in output(self._token, fd, self._running(), time(), data):
            self._write(frame)
        if data.endswith(b"\n"):
            self.unfinished.pop(fd, None)
        else:
            self.unfinished.setdefault(fd, None)

    def end_lines(self) -> None:
        """End the lines that a job has begun. Called when the job ends: the lines are then logged
        before the job's last event, and the next job's output begins on a new line."""
        for fd, stream in sorted(self.unfinished.items()):
            if stream is not None:
                with suppress(ValueError):  # the job has detached its buffer
                    stream.flush()
            if fd in self.unfinished:
                self.output(fd, b"\n")

    def job_ended(self, id: str) -> None:
        """Mark the end of a job in the pipe unless the pipe is empty. The bytes in the pipe may
        come from the job's subprocesses. Without the mark, the logger could assign them to the
        next job."""
        with suppress(OSError):  # the job may have closed the descriptor
            if self._token and unread(self._fd):
                os.write(self._fd, end_of_job(self._token, id, time()))

    # writing

    def flush(self) -> None:
        if not self._blocks:
            return
        with self._lock:
            if self._sending:  # a destructor that prints has called this during `_send`
                return
            self._sending = True
            try:
                while self._blocks:
                    self._send()
            finally:
                self._sending = False

    def _append(self, block: bytes) -> None:
        self._blocks.append(block)
        self._size += len(block)
        if self._size > BUFFER_BYTES:
            self.flush()

    def _send(self) -> None:
        waiting, self._size = self._blocks, 0
        blocks = [waiting.popleft() for _ in range(len(waiting))]  # other threads may append
        if not self._token:
            self._write(b"".join(blocks))
            return
        reported = self._dropped
        if reported:
            text = f"{reported} lines of this process were dropped: its pipe was full"
            blocks.insert(0, self.formatter.event(time(), self._who, Note("warning", text)))
        for frame in frames(self._token, blocks):
            lost = self._write(frame)
            # A written note has reported the dropped lines. A lost note is no dropped line itself.
            self._dropped -= min(1, reported) if lost else reported
            reported = 0

    def _write(self, data: bytes) -> int:
        """Write `data`; return how many lines were lost."""
        lines = data.count(b"\n") or 1
        try:
            while data:
                data = data[os.write(self._fd, data) :]
        except OSError:
            # A log that cannot be written must not end a job. The pipe may be full, the logger may
            # have died, or the job may have closed the descriptor.
            self._dropped += lines
            return lines
        return 0

    def _running(self) -> str:
        try:
            return current().id
        except RuntimeError:
            return self._job()

    def _offer(self, event: Event, number: int) -> None:
        """Pass the event to the application's own handlers, if there are any."""
        name, extra = EVENT_LOGGER.name, {"event": event}
        record = EVENT_LOGGER.makeRecord(
            name, number, __file__, 0, describe(event), (), None, extra=extra
        )
        try:
            EVENT_LOGGER.handle(record)
        except Exception as error:  # noqa: BLE001  # a handler must not end the job
            text = f"a handler of {name} raised {type(error).__name__}: {error}"
            self._append(self.formatter.event(time(), self._who, Note("error", text)))


class Handler(logging.Handler):
    """Passes records of the stdlib's logging to a Log."""

    def __init__(self, log: Log) -> None:
        super().__init__()
        self._log = log
        self._traces = logging.Formatter()

    def emit(self, record: logging.LogRecord) -> None:
        try:
            trace = self._traces.formatException(record.exc_info) if record.exc_info else ""
            if record.stack_info:
                trace = f"{trace}\n{record.stack_info}" if trace else record.stack_info
            self._log.record(record, trace)
        except Exception:  # noqa: BLE001  # logging's own rule: never raise into the caller
            self.handleError(record)


class _Output(io.RawIOBase):
    """The raw stream below sys.stdout (1) or sys.stderr (2)."""

    def __init__(self, log: Log, fd: int) -> None:
        super().__init__()
        self._log = log
        self._fd = fd

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._fd

    def write(self, data: object, /) -> int:
        output_bytes = bytes(data)  # type: ignore[call-overload]  # any bytes-like object
        self._log.output(self._fd, output_bytes)
        return len(output_bytes)


class OutputStream(io.TextIOWrapper):
    """Replaces Python's own sys.stdout (1) or sys.stderr (2). It stays open when a job closes it
    (`with sys.stdout:`), so that the next job can print."""

    def __init__(self, log: Log, fd: int) -> None:
        super().__init__(_Output(log, fd), "utf-8", "backslashreplace", line_buffering=True)  # type: ignore[arg-type]  # it has its own buffer, so a raw stream is enough
        self._log = log
        self._fd = fd

    def write(self, text: str, /) -> int:
        self._log.unfinished[self._fd] = self  # until `Log.output` receives the line's end
        return super().write(text)

    def close(self) -> None:
        self.flush()


def set_up(log_format: str = "text") -> Log:
    """Set up the process's log, on stderr for now; forked children inherit it. The root logger
    takes INFO and above, unless the application changes that when it is loaded."""
    log = Log(FORMATS[log_format]())
    root = logging.getLogger()
    root.addHandler(Handler(log))
    root.setLevel(logging.INFO)
    EVENT_LOGGER.propagate = False
    EVENT_LOGGER.addHandler(logging.NullHandler())
    if sys.stdout is not None:
        sys.stdout.flush()
    return log
