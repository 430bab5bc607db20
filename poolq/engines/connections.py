"""One connection per thread, never used across a fork, and checked after a second of idling.

How to open, close and check a connection is up to the engine. A child process that finds an
inherited connection keeps it unused in `_inherited`: closing it could end the parent's session.
"""

import os
import threading
from collections.abc import Callable
from time import monotonic
from typing import Generic, TypeVar

from poolq.errors import EngineError

C = TypeVar("C")

#: Seconds of idling after which a connection is checked before its next use.
IDLE_CHECK = 1.0

_inherited: list[object] = []


def reentrancy_error(redacted_url: str) -> EngineError:
    """The error of a signal handler that uses the engine while its thread is in an exchange: it
    would read the other's reply, or become part of its transaction."""
    return EngineError(
        f"{redacted_url}: a signal handler interrupted another exchange of this thread and cannot"
        " start its own; let it only note what to do, and do that later"
    )


class _Forks:
    """How many forks lie between this process and the first one that imported this module."""

    count = 0

    @classmethod
    def add(cls) -> None:
        cls.count += 1


os.register_at_fork(after_in_child=_Forks.add)


class _Owned(Generic[C]):
    """A thread's connection. It is closed with its thread, except in a forked child."""

    __slots__ = ("close", "connection", "forks", "pid", "released", "used")

    def __init__(self, connection: C, close: Callable[[C], None]) -> None:
        self.connection = connection
        self.close = close
        self.forks = _Forks.count
        self.released = False
        self.pid = os.getpid()
        self.used = monotonic()

    def release(self) -> None:
        if self.released:
            return
        self.released = True
        # Not forks: a child drops what the parent's other threads owned before it counts its fork.
        if self.pid == os.getpid():
            self.close(self.connection)
        else:
            _inherited.append(self.connection)

    __del__ = release


class _Local(threading.local, Generic[C]):
    """What one thread has. It ends with the thread, and so does the connection."""

    def __init__(self) -> None:
        self.owned: _Owned[C] | None = None


class Connections(Generic[C]):
    """The connections of one engine, one per thread. `connect` may raise anything; then nothing is
    kept. `close` must not raise. `alive` tells whether an idle connection still works, and may ask
    the server; it must not raise either, but a signal handler that interrupts it may. Without
    `alive`, connections are never checked."""

    def __init__(
        self,
        connect: Callable[[], C],
        close: Callable[[C], None],
        alive: Callable[[C], bool] | None = None,
        idle: float = IDLE_CHECK,
    ) -> None:
        self._connect = connect
        self._close = close
        self._alive = alive
        self._idle = idle
        self._local: _Local[C] = _Local()

    def get(self) -> C:
        """The connection of this thread. It is opened or replaced if necessary."""
        owned = self._local.owned
        if owned is not None:
            if owned.forks == _Forks.count and (
                self._alive is None
                or monotonic() - owned.used < self._idle
                or self._still_alive(self._alive, owned.connection)
            ):
                return owned.connection
            self.drop()
        owned = self._local.owned = _Owned(self._connect(), self._close)
        return owned.connection

    def mark_used(self) -> None:
        """Note that the server has just answered, so no check is needed for a second."""
        owned = self._local.owned
        if owned is not None:
            owned.used = monotonic()

    def drop(self) -> None:
        """Close and forget this thread's connection."""
        owned, self._local.owned = self._local.owned, None
        if owned is not None:
            owned.release()

    def _still_alive(self, alive: Callable[[C], bool], connection: C) -> bool:
        try:
            return alive(connection)
        except BaseException:
            # For example an exception of a signal handler: nobody will read the pending reply.
            self.drop()
            raise
