"""The log's pipes: one for each row of the scoreboard and one for each other kind of process.

The master creates all pipes before it forks any process, and keeps both ends of each. So what a
process has written is safe in its pipe, or in the ring, even if the process or the logger dies. The
logger keeps only reading ends; all other children keep only writing ends. So the logger sees the
end of a pipe when no writer is left, even after the master's death.
"""

import io
import os
import sys
from collections.abc import Sequence

from poolq.log.frames import new_token
from poolq.log.ring import LogRing

#: The processes that have a pipe but no row.
NAMED_SOURCES = ("master", "keeper", "template", "dashboard")
#: Processes that must never wait for the log. If a line does not fit, they drop and count it.
NEVER_WAIT = ("master", "keeper", "dashboard")


class Writers:
    """The writing ends, `fds`: those of the rows, in order, then those of NAMED_SOURCES."""

    def __init__(self, fds: Sequence[int], token: bytes) -> None:
        self.fds = tuple(fds)
        self.token = token
        self.rows = len(fds) - len(NAMED_SOURCES)

    def named(self, name: str) -> int:
        """Return the descriptor for one of NAMED_SOURCES."""
        return self.fds[self.rows + NAMED_SOURCES.index(name)]

    def all_but(self, used: int) -> tuple[int, ...]:
        """Return the other descriptors, which a process that writes to `used` must close."""
        return tuple(fd for fd in self.fds if fd != used)


class Pipes:
    """Both ends of all pipes (two descriptors a row), and the ring behind them, in the master."""

    def __init__(self, rows: int) -> None:
        ends = [os.pipe2(os.O_CLOEXEC) for _ in range(rows + len(NAMED_SOURCES))]
        self.readers = tuple(read for read, _ in ends)
        self.writers = Writers([write for _, write in ends], new_token())
        self.ring = LogRing()
        for fd in (*self.readers, *(self.writers.named(name) for name in NEVER_WAIT)):
            os.set_blocking(fd, False)

    def all_but(self, used: int) -> tuple[int, ...]:
        """Return what a forked process that writes to `used` must close."""
        return (*self.readers, *self.writers.all_but(used))


def adopt(fd: int) -> None:
    """Make a pipe the stdout and stderr of this process and its subprocesses. Python's own streams
    then write whole lines in UTF-8, and escape what UTF-8 cannot represent. `fd` stays open."""
    for stream, number in ((sys.stdout, 1), (sys.stderr, 2)):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)
        if stream is not None:
            stream.flush()
        os.dup2(fd, number)  # after reconfigure(), as it reads the position, and a pipe has none
