"""A process that dies amid what it does with a store, at each moment that makes a difference there.

A server sees nothing of its clients but requests and the ends of connections. So there the moments
are before and after each request. On SQLite, a process is killed before each statement.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

from poolq.engines.base import Engine
from poolq.engines.sql.session import Query
from tests.contract.faulty_proxy import FaultyProxy
from tests.support.wait import until

Act = Callable[[], object]
#: More statements than an act has.
MOST = 100


class Mortal(Protocol):
    """`engine` is that of the process that dies; all acts are done with it."""

    engine: Engine

    def moments(self) -> Iterator[Callable[[Act], None]]:
        """For each moment, yield a function that does an act until the process dies then. The last
        ones let the act come to its end."""


class KilledProcess:
    """On SQLite: the act is done by a child, which knows what its parent knows."""

    def __init__(self, engine: Any) -> None:
        self.engine = engine
        self._killed = False

    def moments(self) -> Iterator[Callable[[Act], None]]:
        for number in range(1, MOST):
            yield lambda act, number=number: self._do(act, number)  # type: ignore[misc]  # has a default
            if not self._killed:
                return
        raise AssertionError(f"it has {MOST} statements and more")

    def _do(self, act: Act, number: int) -> None:
        child = os.fork()
        if child == 0:
            self._do_in_child(act, number)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert status in (0, -signal.SIGKILL)
        self._killed = status != 0

    def _do_in_child(self, act: Act, number: int) -> None:
        status = 1
        try:
            kill_before_statement(self.engine.session.raw(), number)
            act()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)


def kill_before_statement(raw: sqlite3.Connection, number: int) -> None:
    """Kill this process before the so manyth statement from now on."""
    left = number

    def trace(_: str) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    raw.set_trace_callback(trace)


class CutConnection:
    """On a server: the connection ends, and nobody repeats what may not have been done."""

    def __init__(self, engine: Any, proxy: FaultyProxy, survivor: Any) -> None:
        self.engine = engine
        self._proxy = proxy
        self._survivor = survivor

    def moments(self) -> Iterator[Callable[[Act], None]]:
        for point in self._proxy.failure_points(MOST):
            yield lambda act, point=point: self._do(act, point)  # type: ignore[misc]  # has a default

    def _do(self, act: Act, point: Any) -> None:
        # In a thread of its own: OpenSSL keeps the error of a lost connection for the thread, and
        # Python 3.13 takes it for one of the thread's next connection.
        with ThreadPoolExecutor(1) as thread:
            name = thread.submit(self._lose, act, point).result()
        if name:
            until(lambda: self._is_gone(name), 30, "the end of the connection on the server")

    def _lose(self, act: Act, point: Any) -> str:
        """Do the act until the connection ends. Returns the connection's name if it had ended and
        its server may not know yet."""
        self.engine.now()  # connects
        is_remote = self.engine.url.startswith(("mysql", "postgresql"))
        name = self.engine.session.name if is_remote else ""
        return name if self._proxy.failing(act, point) else ""

    def _is_gone(self, name: str) -> bool:
        """Whether the server has ended a connection, which may have had a transaction open."""
        asked = "SELECT IS_FREE_LOCK(?)"
        if self.engine.url.startswith("postgresql"):
            asked = "SELECT COUNT(*) = 0 FROM pg_stat_activity WHERE application_name = ?"
        (found,) = self._survivor.session.read(Query(asked, (name,)))
        return bool(found.rows[0][0])
