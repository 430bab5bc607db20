"""No connection to a SQLite file may cross a fork.

The library keeps, for the whole process, which locks it holds on a file. A child would inherit
that knowledge but not the locks, so that even a connection of its own would write unprotected. So
all connections are closed just before a fork, whichever thread asks for it, and opened again by
parent and child when they are used again. A transaction that takes long is interrupted. Where even
that does not end it, the child cannot be helped: it refuses to open the file.
"""

import os
import threading
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Protocol
from weakref import WeakSet

#: Seconds that a fork waits for threads in the middle of a transaction, and then twice that for
#: those that it has interrupted.
FORK_TIMEOUT = 5.0


class Closable(Protocol):
    """A connection: `lock` is held while it is in use."""

    lock: threading.RLock

    @property
    def file(self) -> Path: ...

    def shut(self) -> None: ...

    def interrupt(self) -> None:
        """Have the thread that uses it end soon, with an error; called by another one."""


class _OpenConnections:
    """The connections of this process."""

    def __init__(self, refused: frozenset[Path] = frozenset()) -> None:
        self.lock = threading.Lock()
        self.all: WeakSet[Closable] = WeakSet()
        self.held: list[Closable] = []
        self.crossing: frozenset[Path] = frozenset()
        self.refused = refused

    def before(self) -> None:
        self.lock.acquire()
        end = monotonic() + FORK_TIMEOUT
        late = [one for one in list(self.all) if not self._closed(one, end)]
        for one in late:
            one.interrupt()
        end = monotonic() + 2 * FORK_TIMEOUT
        self.crossing = frozenset(one.file for one in late if not self._closed(one, end))

    def _closed(self, one: Closable, end: float) -> bool:
        """Close it, as soon as nobody uses it; False: somebody still does at the end."""
        if not one.lock.acquire(timeout=max(0.0, end - monotonic())):
            return False
        self.held.append(one)
        one.shut()
        return True

    def after_in_parent(self) -> None:
        held, self.held = self.held, []
        for one in held:
            one.lock.release()
        self.lock.release()

    def after_in_child(self) -> None:
        """The connections stay held and unused: threads of the child get new ones."""
        self.__init__(self.refused | self.crossing)  # type: ignore[misc]  # a new state, locks and all


_open = _OpenConnections()
os.register_at_fork(
    before=_open.before,
    after_in_parent=_open.after_in_parent,
    after_in_child=_open.after_in_child,
)


def watch(one: Closable) -> None:
    """Close it before every fork, as long as it is used."""
    with _open.lock:
        _open.all.add(one)


def forget(one: Closable) -> None:
    with suppress(KeyError):
        _open.all.remove(one)


def refused(file: Path) -> bool:
    """Whether this process has inherited an open connection to it."""
    return file in _open.refused
