"""Where the log goes: stderr or a file, written by a thread of its own.

The sink may stall or fail for any length of time; the logger keeps reading. Writing is retried
until it succeeds, and then one line says how many lines were dropped in the meantime.
"""

import os
import select
import threading
from collections.abc import Callable
from math import inf
from pathlib import Path
from time import monotonic, time

import msgspec

from poolq.config import Config
from poolq.config.settings import STDERR
from poolq.errors import ConfigError
from poolq.log.events import Note
from poolq.log.formats import Format
from poolq.log.line_assembly import LineAssembler
from poolq.log.pipes import NAMED_SOURCES, Pipes

CHUNK_BYTES = 64 << 10
#: Seconds of one write after which the sink counts as stalled, so that lines may be dropped.
STALL_TIMEOUT = 0.1
RETRY_DELAY, MAX_RETRY_DELAY = 0.1, 1.0
#: The mode of a new file. Only the user and the group need to read the log.
FILE_MODE = 0o640


def open_file(path: Path) -> int:
    """Open the file for appending. Raises OSError."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
    return os.open(path, flags, FILE_MODE)


def path_of(config: Config) -> Path | None:
    """Return the log file; None for stderr."""
    return None if config.log_file == STDERR else Path(config.log_file)


def check(config: Config) -> None:
    """Raise ConfigError if the log file cannot be opened."""
    path = path_of(config)
    if path is None:
        return
    try:
        os.close(open_file(path))
    except OSError as error:
        source = config.sources.get("log_file", "code")
        raise ConfigError(
            f"log_file ({source}): {path} cannot be opened for writing: {error.strerror}; "
            "name another file, or stderr"
        ) from None


class LoggerSetup(msgspec.Struct, frozen=True):
    """What a logger gets from the master. The logger's process has closed the pipes' writing ends.
    `who(row)` returns the slot of a row and the id of the job that it runs, or "". `beat()` is
    called at least every second while all is well. `keep(lines)` gets a copy of what is written."""

    pipes: Pipes
    formatter: Format
    who: Callable[[int], tuple[int, str]]
    beat: Callable[[], None]
    path: Path | None = None
    keep: Callable[[bytes], None] = lambda _: None


class Sink(threading.Thread):
    """Takes records from the ring and writes them, until `finish`."""

    def __init__(self, setup: LoggerSetup) -> None:
        super().__init__(name="sink", daemon=True)
        writers = setup.pipes.writers
        self._ring = setup.pipes.ring
        self._lines = LineAssembler(setup.formatter, writers.token, writers.rows, NAMED_SOURCES)
        self._formatter = setup.formatter
        self._path = setup.path
        self._keep = setup.keep
        self._fd = -1 if setup.path else 2
        self._news = threading.Event()
        self._closing = False
        self._reopen = False
        self._writing = inf
        self._failing = False
        self._broken = False
        self._last_error = ""
        self._notes: list[bytes] = []

    # the reading thread

    def wake(self) -> None:
        """Tell the thread that there is something to write."""
        self._news.set()

    def reopen(self) -> None:
        """Open the path again, because the old file was moved. This creates a new file."""
        self._reopen = True
        self._news.set()

    def stalled(self) -> bool:
        """Return whether the output accepts nothing, or takes too long."""
        writing = self._writing
        return self._failing or monotonic() - writing > STALL_TIMEOUT

    def finish(self, timeout: float) -> None:
        """Write everything in at most `timeout` seconds, unless nobody reads the output."""
        self._closing = True
        self._news.set()
        deadline = monotonic() + timeout
        while self.is_alive() and not self._broken and monotonic() < deadline:
            self.join(0.05)

    # the thread

    def run(self) -> None:
        while True:
            self._news.clear()
            if self._reopen:
                self._reopen_file()
            now = monotonic()
            closing = self._closing  # before the ring is read, as nothing follows only then
            records, lost = self._ring.take(CHUNK_BYTES)
            data, self._notes = self._notes, []
            why, self._last_error = self._last_error or "the output was blocked", ""
            if lost:
                text = f"{lost} lines were dropped: the log could not be written ({why})"
                data += [*self._lines.reset(), self._note("warning", text)]
            for record in records:
                data += self._lines.take(record, now)
            data += self._lines.overdue(now)
            if not records and closing:
                data += self._lines.reset()
            if data:
                written = b"".join(data)
                self._keep(written)
                self._write(written)
            self._ring.done()
            if not records and closing:
                return
            if not records and not self._notes:
                self._news.wait(self._lines.due(monotonic()))

    def _write(self, data: bytes) -> None:
        """Write all of `data`, however long that takes."""
        pause = RETRY_DELAY
        unwritten = memoryview(data)
        self._writing = monotonic()
        while unwritten:
            try:
                if self._fd < 0 and self._path:
                    self._fd = open_file(self._path)
                    if _ends_within_line(self._path):
                        os.write(self._fd, b"\n")
                unwritten = unwritten[os.write(self._fd, unwritten) :]
            except BlockingIOError:  # a FIFO, or another process made stderr non-blocking
                _until_writable(self._fd, RETRY_DELAY)
            except OSError as error:
                self._last_error = error.strerror or str(error)
                self._failing, self._broken = True, isinstance(error, BrokenPipeError)
                self._pause(pause)
                pause = min(MAX_RETRY_DELAY, pause * 2)
            else:
                self._writing, pause = monotonic(), RETRY_DELAY
                self._failing = self._broken = False
            if self._reopen:
                self._reopen_file()
        self._writing = inf

    def _pause(self, seconds: float) -> None:
        """Wait, but not if the file is to be reopened. New lines do not shorten the wait."""
        end = monotonic() + seconds
        while not self._reopen and (remaining := end - monotonic()) > 0:
            self._news.wait(remaining)
            self._news.clear()

    def _reopen_file(self) -> None:
        self._reopen = False
        if self._path is None:
            return
        try:
            fd = open_file(self._path)
        except OSError as error:
            text = f"{self._path} cannot be reopened: {error.strerror}; keeping the old file"
            self._notes.append(self._note("error", text))
            return
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = fd

    def _note(self, level: str, text: str) -> bytes:
        return self._formatter.event(time(), "logger", Note(level, text))


def _ends_within_line(path: Path) -> bool:
    """Return whether the file ends within a line, because a logger was killed during a write. Its
    successor writes the same lines again, and must begin on a new line. Return False if the file
    cannot be read."""
    if not (path.is_file() and os.access(path, os.R_OK)):
        return False
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 1))
        return file.read(1) not in (b"", b"\n")


def _until_writable(fd: int, timeout: float) -> None:
    poll = select.poll()
    poll.register(fd, select.POLLOUT)
    poll.poll(timeout * 1000)
