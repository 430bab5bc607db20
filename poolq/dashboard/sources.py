"""Takes a screen's snapshots from the pool's shared memory, which is inherited or attached."""

from collections.abc import Mapping
from contextlib import closing

from poolq.control.client import ControlClient
from poolq.errors import PoolqError
from poolq.monitor.reader import SnapshotReader
from poolq.monitor.snapshot import Snapshot
from poolq.scoreboard.board import Scoreboard
from poolq.system import identity


class Source:
    """Takes snapshots of the pool that has forked this process. Use it in one thread only. It never
    waits for the broker. `master` is the master's pid."""

    def __init__(self, scores: Scoreboard, master: int) -> None:
        self._reader = SnapshotReader(scores)
        self._master = master
        self._since = identity.start_time(master)

    def snapshot(self) -> Snapshot | None:
        """Return the state of the pool, or None if its master has ended."""
        if self._since is None or identity.start_time(self._master) != self._since:
            return None
        return self._reader.snapshot()

    def stack(self, pid: int) -> str:
        """Return the stacks of a worker's threads, as Python's faulthandler writes them, or "" if
        the worker does not answer within a second."""
        return self._reader.stack(pid)

    def close(self) -> None:
        """Do nothing, since the memory belongs to the pool."""


class AttachedSource(Source):
    """Takes snapshots of any pool. Asks the pool once for its memory; after that, only reads it."""

    def __init__(self, name: str, environ: Mapping[str, str]) -> None:
        """Raises PoolNotFound, Refused or WaitTimeout, or PoolqError if the pool ends meanwhile."""
        with closing(ControlClient(name, environ)) as line:
            self._scores = line.attach()
            super().__init__(self._scores, line.pid)
        self._open = True
        if self.snapshot() is None:
            self.close()
            raise PoolqError(f"pool {name!r} has ended")

    def close(self) -> None:
        if self._open:
            self._open = False
            self._scores.close()
