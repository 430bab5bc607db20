"""Keeps connections to a SQLite file from crossing a fork.

SQLite notes in the process's memory which locks it holds on a file. A child would inherit these
notes but not the locks, so that even its own connections would write unprotected. Therefore all
connections are closed just before any thread forks. Parent and child open new ones when they need
them. A long transaction is interrupted. If the transaction still does not end, the child refuses to
open the file.
"""

import os
import threading
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING
from weakref import WeakSet

if TYPE_CHECKING:
    from poolq.engines.sqlite.session import SQLiteSession

#: FORK_TIMEOUT: seconds that a fork waits for transactions before it interrupts them.
#: INTERRUPT_TIMEOUT: seconds that it then waits for the interrupted transactions to end.
FORK_TIMEOUT, INTERRUPT_TIMEOUT = 5.0, 10.0


class _OpenConnections:
    def __init__(self, refused: frozenset[Path] = frozenset()) -> None:
        self.lock = threading.Lock()
        self.all: WeakSet[SQLiteSession] = WeakSet()
        self.held: list[SQLiteSession] = []
        self.inherited: frozenset[Path] = frozenset()
        self.refused = refused

    def before(self) -> None:
        self.lock.acquire()
        end = monotonic() + FORK_TIMEOUT
        late = [one for one in list(self.all) if not self._disconnect(one, end)]
        for one in late:
            one.interrupt()
        end = monotonic() + INTERRUPT_TIMEOUT
        self.inherited = frozenset(
            one.options.file for one in late if not self._disconnect(one, end)
        )

    def _disconnect(self, one: "SQLiteSession", end: float) -> bool:
        """Close a connection once it is unused. Returns False if it is still in use at `end`."""
        if not one.lock.acquire(timeout=max(0.0, end - monotonic())):
            return False
        self.held.append(one)
        one.disconnect()
        return True

    def after_in_parent(self) -> None:
        held, self.held = self.held, []
        for one in held:
            one.lock.release()
        self.lock.release()

    def after_in_child(self) -> None:
        """Start with no connections. The child opens new ones, and leaves the parent's alone."""
        self.__init__(self.refused | self.inherited)  # type: ignore[misc]  # also renews the lock


_connections = _OpenConnections()
os.register_at_fork(
    before=_connections.before,
    after_in_parent=_connections.after_in_parent,
    after_in_child=_connections.after_in_child,
)


def register(one: "SQLiteSession") -> None:
    """Close this connection before every fork."""
    with _connections.lock:
        _connections.all.add(one)


def unregister(one: "SQLiteSession") -> None:
    with suppress(KeyError):
        _connections.all.remove(one)


def refused(file: Path) -> bool:
    """Return whether this process has inherited an open connection to the file."""
    return file in _connections.refused
