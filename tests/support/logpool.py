"""The log of a pool without the pool: real pipes, a real logger process, and writers to order."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from poolq.log import logger
from poolq.log.events import Finished
from poolq.log.formats import TextFormat
from poolq.log.pipes import Pipes, adopt
from poolq.log.reporting import Log
from poolq.log.sink import LoggerSetup
from poolq.system.fork import fork
from tests.support.processes import process
from tests.support.wait import until

ROWS = 8
STAMP = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} "


class LogPool:
    """The test is the master. Row r is slot r + 1 and runs `job-r`; `err` is the log's stderr."""

    def __init__(self, path: Path | None = None, err: int = 2) -> None:
        self.pipes = Pipes(ROWS)
        self.words = TextFormat()
        self._path = path
        self._err = err
        self.beat_read, self._beat = os.pipe2(os.O_NONBLOCK)
        self.logger = 0
        self._children: set[int] = set()
        self.master = self.log("master", self.pipes.writers.named("master"))

    def log(self, who: str, fd: int) -> Log:
        """A Log of this very process that speaks through a pipe."""
        log = Log(self.words)
        log.attach(who, fd, self.pipes.writers.token, streams=False)
        return log

    def start(self) -> int:
        """Fork the logger; its pid."""

        def main() -> int:
            if self._err != 2:
                os.dup2(self._err, 2)
            return logger.main(LoggerSetup(self.pipes, self.words, who, self._beats, self._path))

        self.logger = fork(main, self.pipes.writers.fds)
        self._children.add(self.logger)
        return self.logger

    def until_up(self) -> None:
        """Wait until the logger serves."""
        until(self.beaten, what="the logger's beat")

    def beaten(self) -> bool:
        """True if it has beaten since the last call."""
        found = False
        with suppress(BlockingIOError):
            while os.read(self.beat_read, 65536):
                found = True
        return found

    def _beats(self) -> None:
        with suppress(BlockingIOError):
            os.write(self._beat, b".")

    def write(self, row: int, main: Callable[[Log], object]) -> int:
        """Fork a worker of this row which does `main(log)`; its pid."""
        fd = self.pipes.writers.fds[row]

        def work() -> int:
            adopt(fd)
            log = Log(self.words)
            log.attach(f"worker {row + 1}", fd, self.pipes.writers.token)
            main(log)
            log.flush()
            return 0

        pid = fork(work, self.pipes.all_but(fd))
        self._children.add(pid)
        return pid

    def wait(self, pid: int, timeout: float = 60) -> int:
        """Wait for a child's end; its exit code."""
        until(lambda: (found := process(pid)) is None or not found.alive, timeout, f"{pid}'s end")
        self._children.discard(pid)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    def kill(self, pid: int) -> None:
        os.kill(pid, signal.SIGKILL)
        self.wait(pid)

    def finish(self, timeout: float = 60) -> int:
        """Say farewell; the logger's exit code."""
        self.master.flush()
        self.pipes.ring.request_exit()
        os.kill(self.logger, signal.SIGTERM)
        return self.wait(self.logger, timeout)

    def drop_ends(self) -> None:
        """As the master's death does: close all that this process holds."""
        for fd in (*self.pipes.readers, *self.pipes.writers.fds):
            with suppress(OSError):
                os.close(fd)

    def close(self) -> None:
        for pid in list(self._children):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            self.wait(pid)
        self.drop_ends()
        for fd in (self.beat_read, self._beat):
            os.close(fd)


MakeLogs = Callable[..., LogPool]


def who(row: int) -> tuple[int, str]:
    return row + 1, f"job-{row}"


def lines(path: Path, torn: int = 0) -> list[str]:
    """The whole ones, without the stamps that all must have; what goes on is one with its line.
    At most `torn` have none, because a logger was killed within its stamp."""
    if not path.exists():
        return []
    text = path.read_text().rpartition("\n")[0]
    assert "\r" not in text
    found = text.replace("\n    ", "\r").split("\n") if text else []
    unstamped = [line for line in found if not re.match(STAMP, line)]
    assert len(unstamped) <= torn, unstamped
    return [re.sub(STAMP, "", line, count=1).replace("\r", "\n    ") for line in found]


def done(number: int) -> Finished:
    return Finished("jobs:Work", f"id-{number}", "default", 1, 0.0015)


def numbers(found: list[str], who: str = "worker 1") -> list[int]:
    return [
        int(match[1])
        for line in found
        if (match := re.fullmatch(rf"{who}: done jobs:Work id-(\d+) .* in 1\.5 ms", line))
    ]


def report(count: int) -> Callable[[Log], None]:
    def main(log: Log) -> None:
        for number in range(count):
            log.report(done(number))

    return main
