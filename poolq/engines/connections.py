"""One connection per thread, never used across a fork, checked after a second's rest.

Opening, closing and checking are the engine's; here is only whose connection it is and when it
may be trusted. A child process that finds an inherited connection leaves it in a graveyard:
closing it could say goodbye to the server on the parent's behalf.
"""

import os
import threading
from collections.abc import Callable
from time import monotonic
from typing import Generic, TypeVar

from poolq.errors import EngineError

C = TypeVar("C")

#: Seconds a connection may rest before it is checked.
IDLE = 1.0

_graveyard: list[object] = []


def reentrancy_error(shown: str) -> EngineError:
    """What a signal's handler is told that wants an exchange while its thread is in one: it would
    take the other's answer, or be part of its transaction."""
    return EngineError(
        f"{shown}: a signal's handler came in the midst of another exchange and cannot have one of"
        " its own; let it note what is to be done, and do that later"
    )


class _Forks:
    """How often this process has been forked off; a seat of another count is inherited."""

    count = 0

    @classmethod
    def add(cls) -> None:
        cls.count += 1


os.register_at_fork(after_in_child=_Forks.add)


class _Seat(Generic[C]):
    """A thread's connection. It goes with its thread, but in a forked child to the graveyard."""

    __slots__ = ("close", "connection", "forks", "left", "pid", "used")

    def __init__(self, connection: C, close: Callable[[C], None]) -> None:
        self.connection = connection
        self.close = close
        self.forks = _Forks.count
        self.left = False
        self.pid = os.getpid()
        self.used = monotonic()

    def leave(self) -> None:
        if self.left:
            return
        self.left = True
        # The child drops the seats of the parent's other threads before the count goes up.
        if self.pid == os.getpid():
            self.close(self.connection)
        else:
            _graveyard.append(self.connection)

    __del__ = leave


class _Local(threading.local, Generic[C]):
    """What a thread sees of a holder; it ends with the thread, and the seat with it."""

    def __init__(self) -> None:
        self.seat: _Seat[C] | None = None


class Connections(Generic[C]):
    """The connections of one engine, one for each thread that asks.

    `connect` may raise anything; nothing is kept then. `close` must not raise. `alive` says
    whether a rested connection still works (it may ask the server); it must not raise either,
    though a signal's handler may. Without `alive` none is ever checked.
    """

    def __init__(
        self,
        connect: Callable[[], C],
        close: Callable[[C], None],
        alive: Callable[[C], bool] | None = None,
        idle: float = IDLE,
    ) -> None:
        self._connect = connect
        self._close = close
        self._alive = alive
        self._idle = idle
        self._local: _Local[C] = _Local()

    def get(self) -> C:
        """The connection of this thread, opened or replaced where needed."""
        seat = self._local.seat
        if seat is not None:
            if seat.forks == _Forks.count and (
                self._alive is None
                or monotonic() - seat.used < self._idle
                or self._still_alive(self._alive, seat.connection)
            ):
                return seat.connection
            self.drop()
        seat = self._local.seat = _Seat(self._connect(), self._close)
        return seat.connection

    def used(self) -> None:
        """The server has just answered: no check for the next second."""
        seat = self._local.seat
        if seat is not None:
            seat.used = monotonic()

    def drop(self) -> None:
        """Close and forget this thread's connection."""
        seat, self._local.seat = self._local.seat, None
        if seat is not None:
            seat.leave()

    def _still_alive(self, alive: Callable[[C], bool], connection: C) -> bool:
        try:
            return alive(connection)
        except BaseException:
            # A signal's exception, say: the answer is still to come and nobody will read it.
            self.drop()
            raise
