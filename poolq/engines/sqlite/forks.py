"""No connection to a SQLite file may cross a fork.

The library keeps, for the whole process, which locks it holds on a file. A child would inherit
that knowledge but not the locks, so that even a connection of its own would write unprotected. So
all connections are closed just before a fork, whichever thread asks for it, and opened again by
parent and child when they are used again.
"""

import os
import threading
from contextlib import suppress
from typing import Protocol
from weakref import WeakSet

#: Seconds that a fork waits for a thread in the middle of a transaction.
PATIENCE = 5.0


class Closable(Protocol):
    """A connection: `lock` is held while it is in use."""

    lock: threading.RLock

    def shut(self) -> None: ...


class _Open:
    """The connections of this process."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.all: WeakSet[Closable] = WeakSet()
        self.held: list[Closable] = []

    def before(self) -> None:
        self.lock.acquire()
        for one in list(self.all):
            if one.lock.acquire(timeout=PATIENCE):
                self.held.append(one)
                one.shut()

    def after_in_parent(self) -> None:
        held, self.held = self.held, []
        for one in held:
            one.lock.release()
        self.lock.release()

    def after_in_child(self) -> None:
        """The connections stay held and unused: threads of the child get new ones."""
        self.__init__()  # type: ignore[misc]  # a new state, locks and all


_open = _Open()
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
