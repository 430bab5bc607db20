"""Where a screen's snapshots come from: the pool's own shared memory, inherited or handed over."""

from collections.abc import Mapping
from contextlib import closing
from typing import Protocol

from poolq.control.client import Line
from poolq.errors import PoolqError
from poolq.monitor.reader import SnapshotReader
from poolq.monitor.snapshot import Snapshot
from poolq.scoreboard.board import Scoreboard
from poolq.system import identity


class Inherited:
    """In a process that the pool has forked. `master`: its pid."""

    def __init__(self, scores: Scoreboard, master: int) -> None:
        self._reader = SnapshotReader(scores)
        self._master = master
        self._since = identity.start_time(master)

    def look(self) -> Snapshot | None:
        """The pool now; None when its master has ended."""
        if self._since is None or identity.start_time(self._master) != self._since:
            return None
        return self._reader.snapshot()

    def stack(self, pid: int) -> str:
        """The stacks of that worker's threads, as Python's faulthandler writes them; "" if it does
        not answer within a second."""
        return self._reader.stack(pid)

    def close(self) -> None:
        """It is the pool's own memory: nothing is held."""


class Attached(Inherited):
    """From another terminal. The pool is spoken to once; then all is read."""

    def __init__(self, name: str, environ: Mapping[str, str]) -> None:
        """Raises NoPool, Refused, Overdue, and PoolqError where it ends meanwhile."""
        with closing(Line(name, environ)) as line:
            self._scores = line.attach()
            super().__init__(self._scores, line.pid)
        self._open = True
        if self.look() is None:
            self.close()
            raise PoolqError(f"pool {name!r} has ended")

    def close(self) -> None:
        if self._open:
            self._open = False
            self._scores.close()


class Source(Protocol):
    """Looks at one pool; used by one thread."""

    def look(self) -> Snapshot | None:
        """The pool now; None when it has ended. Called four times a second: it never waits for a
        broker, and for the pool's master only so long that a person does not notice."""

    def stack(self, pid: int) -> str:
        """Of the worker of that pid, each thread; "" when it does not show it. May take a second,
        and may be called by another thread."""

    def close(self) -> None:
        """Give back what it holds. Idempotent."""
