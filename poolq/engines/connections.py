"""One connection per thread, never used across a fork, and checked after a second of idling.

How to open, close and check a connection is up to the engine. A child process that finds an
inherited connection keeps it unused in `_inherited`, as closing it could end the parent's session.

When the interpreter ends, other threads stop wherever they are, perhaps in the middle of an act
that locks their connection. So the kernel closes these connections.
"""

import os
import sys
import threading
from collections.abc import Callable
from time import monotonic
from traceback import walk_tb
from typing import Generic, TypeVar

from poolq.errors import EngineError

C = TypeVar("C")

#: Seconds of idling after which a connection is checked before its next use.
IDLE_CHECK = 1.0

#: The packages in which the errors of a socket are raised.
_SOCKETS = (
    "eventlet", "gevent", "poolq", "psycopg", "pymysql", "redis", "selectors", "socket", "socks",
    "ssl",
)  # fmt: skip

_inherited: list[object] = []


def reentrancy_error(redacted_url: str) -> EngineError:
    """Return the error for a signal handler that uses the engine while the interrupted code waits
    for a reply. The handler would read that reply, or become part of that code's transaction."""
    return EngineError(
        f"{redacted_url}: a signal handler cannot use the engine while the code that it interrupted"
        " is using it; only set a flag in the handler, and use the engine later"
    )


def raised_by_handler(error: BaseException | None) -> OSError | None:
    """Return the OSError, such as an alarm's TimeoutError, that a signal handler has raised and a
    driver has taken for one of its socket, before it raised this error."""
    if threading.current_thread() is not threading.main_thread():
        return None  # no handler runs there
    while error is not None:
        if isinstance(error, OSError):
            names = [
                frame.f_globals.get("__name__", "") for frame, _ in walk_tb(error.__traceback__)
            ]
            return None if not names or names[-1].partition(".")[0] in _SOCKETS else error
        error = error.__context__
    return None


class _Forks:
    """Counts the forks between the first process that imported this module and this process."""

    count = 0

    @classmethod
    def add(cls) -> None:
        cls.count += 1


os.register_at_fork(after_in_child=_Forks.add)


class _Owned(Generic[C]):
    """A thread's connection. It is closed when the thread ends, except in a forked child."""

    __slots__ = ("close", "connection", "forks", "pid", "released", "thread", "used")

    def __init__(self, connection: C, close: Callable[[C], None]) -> None:
        self.connection = connection
        self.close = close
        self.forks = _Forks.count
        self.released = False
        self.pid = os.getpid()
        self.thread = threading.get_ident()
        self.used = monotonic()

    def release(self) -> None:
        if self.released:
            return
        self.released = True
        if sys.is_finalizing() and self.thread != threading.get_ident():
            return
        # Compare pids, because a child drops other threads' connections before it counts its fork.
        if self.pid == os.getpid():
            self.close(self.connection)
        else:
            _inherited.append(self.connection)

    def __del__(self) -> None:
        if sys is not None:  # The interpreter empties modules at its very end.
            self.release()


class _Local(threading.local, Generic[C]):
    """The connection of one thread. It is closed when the thread ends."""

    def __init__(self) -> None:
        self.owned: _Owned[C] | None = None


class Connections(Generic[C]):
    """The connections of one engine, one per thread. If `connect` raises, no connection is kept.
    `close` must not raise. `alive` returns whether an idle connection still works, and may ask the
    server. It must not raise either, although a signal handler may raise while it runs. Without
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
        """Return the connection of this thread, after opening or replacing it if necessary."""
        owned = self._local.owned
        if owned is not None:
            if owned.forks == _Forks.count and (
                self._alive is None
                or monotonic() - owned.used < self._idle
                or self._still_alive(self._alive, owned.connection)
            ):
                return owned.connection
            self.drop()
        try:
            opened = self._connect()
        except Exception as error:
            if by_handler := raised_by_handler(error):
                raise by_handler from None  # as an outage, it would be tried again
            raise
        owned = self._local.owned = _Owned(opened, self._close)
        return owned.connection

    def mark_used(self) -> None:
        """Record that the server has just answered, so no check is needed for a second."""
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
            # For example, a signal handler has raised, and nobody will read the pending reply.
            self.drop()
            raise
