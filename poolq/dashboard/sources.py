"""Takes a screen's snapshots from the pool's shared memory, which is inherited or attached."""

from collections import deque
from collections.abc import Mapping

from poolq.control.client import attach, reading
from poolq.errors import PoolqError
from poolq.log.line_filter import LineFilter
from poolq.monitor.log_follower import LogFollower
from poolq.monitor.reader import SnapshotReader
from poolq.monitor.snapshot import Snapshot
from poolq.scoreboard.board import Scoreboard
from poolq.system import identity

MAX_LOG_LINES = 300
DATE_CHARS = 11  # length of the date at the start of a log line, which the screen leaves out


class Source:
    """Takes snapshots of the pool that has forked this process. Use it in one thread only. It never
    waits for the broker. `master` is the master's pid."""

    def __init__(self, scores: Scoreboard, master: int) -> None:
        self._scores = scores
        self._reader = SnapshotReader(scores)
        self._follower: LogFollower | None = None
        self._followed = LineFilter()
        self._log_lines: deque[str] = deque(maxlen=MAX_LOG_LINES)
        self._master = master
        self._since = identity.start_time(master)

    def snapshot(self) -> Snapshot | None:
        """Return the state of the pool, or None if its master has ended."""
        if self._since is None or identity.start_time(self._master) != self._since:
            return None
        return self._reader.snapshot()

    def orphan(self) -> Snapshot | None:
        """Return the state of the pool if its master has died without ending it, else None."""
        left = self._reader.snapshot()
        return left if left is not None and left.head.state != "ending" else None

    def stack(self, pid: int) -> str:
        """Return the stacks of a worker's threads, as Python's faulthandler writes them, or "" if
        the worker does not answer within a second."""
        return self._reader.stack(pid)

    def log(self, wanted: LineFilter) -> str:
        """Return the last of the wanted lines of the log."""
        if self._follower is None or wanted != self._followed:
            self._follower, self._followed = LogFollower(self._scores, wanted), wanted
            self._log_lines.clear()
        lines = self._follower.poll()
        self._log_lines.extend(line[DATE_CHARS if line[:1] != "{" else 0 :] for line in lines)
        return "\n".join(self._log_lines)


class AttachedSource(Source):
    """Takes snapshots of any pool. Asks the pool once for its memory; after that, only reads it."""

    def __init__(self, name: str, environ: Mapping[str, str]) -> None:
        """Raises PoolNotFound, Refused or WaitTimeout, or PoolqError if the pool ends meanwhile.
        Like the methods, raises PoolqError if the pool's memory cannot be read."""
        super().__init__(*attach(name, environ))
        self._open, self._name = True, name
        if self.snapshot() is None:
            self.close()
            raise PoolqError(f"pool {name!r} has ended")

    def snapshot(self) -> Snapshot | None:
        with reading(self._name):
            return super().snapshot()

    def log(self, wanted: LineFilter) -> str:
        with reading(self._name):
            return super().log(wanted)

    def close(self) -> None:
        if self._open:
            self._open = False
            self._scores.close()
