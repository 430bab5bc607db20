"""What the engines of database servers share: MySQL and PostgreSQL.

Their connections may be lost, and the server may then still run the last transaction. Each
connection therefore has a name of its own. The next connection to be opened finds the lost ones by
their names, and ends them.
"""

import os
import time
from abc import abstractmethod
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from threading import RLock
from typing import Any, Generic, NamedTuple, TypeVar
from weakref import WeakSet

from poolq.engines.base import Check, Queues
from poolq.engines.connections import Connections
from poolq.engines.sanitize import to_text
from poolq.engines.sql.engine import SQLEngine
from poolq.engines.sql.queues.wakeups import take_wakeup
from poolq.engines.sql.schema import SQLSchema
from poolq.engines.sql.server_sessions import ServerSession
from poolq.engines.sql.session import Dialect, Query, RenderedSQL
from poolq.engines.sql.within import check_id
from poolq.engines.transactions.connection import UserConnection
from poolq.errors import EngineRefused, EngineUnavailable, RightMissing, SchemaError
from poolq.jobs.message import Push

S = TypeVar("S", bound="ServerSession[Any]")

#: Seconds after which a claim scans a queue from its head again.
CURSOR_LIFETIME = 0.1
#: Seconds by which the server's clock may differ from this host's without a warning.
MAX_CLOCK_DIFFERENCE = 1.0
#: The version of the tables, the schema on PostgreSQL, and last the id of the database. Tables of
#: an earlier version have no id.
READ_STORE = "SELECT s.version, '', s.* FROM {schema} s"
#: Seconds for which threads wait for the one that reads it, before they do so themselves: all may
#: hold a pooler's connections, and then the first to give up lets another one read.
READING = 1.0
#: The end of the error if `within` cannot read it.
ONCE = (
    "once in a process, poolq reads by a connection of its own which database it has; if your"
    " transaction has the last connection of a pooler, give the pooler more, or enter"
    " poolq.within before the transaction's first statement, or dispatch outside of it at the"
    " start of the process"
)


class Store(NamedTuple):
    """What a connection of the engine has seen of the tables. `version`: 0 if there are none."""

    version: int = 0
    schema: str = ""
    id: str = ""


class ServerSchema(SQLSchema, Generic[S]):
    """Tables that only `poolq db migrate` changes. `connect` opens a connection, whatever version
    they have."""

    has_roles = True

    def __init__(
        self, connect: Callable[[], S], texts: RenderedSQL, namespace: str, options: Any
    ) -> None:
        super().__init__(texts, namespace, options.redacted_url)
        self._connect = connect
        self._options = options

    def version(self) -> int:
        with closing(self._connect()) as session:
            return self.read(session).version

    def migrate(self) -> bool:
        with closing(self._connect()) as session:
            return self._migrate(session)

    @abstractmethod
    def _migrate(self, session: S) -> bool:
        """Do what `migrate` does over a connection."""

    def read(self, session: S) -> Store:
        """Return what a connection sees."""
        try:
            (found,) = session.read(Query(READ_STORE))
        except SchemaError:
            return Store()
        for version, schema, *_, id_ in found.rows:
            return Store(int(version), to_text(schema), to_text(id_))
        return Store()


class ServerEngine(SQLEngine, Generic[S]):
    """See the module's head. `_lost_names`: the names of lost connections. `_store`: what the last
    new connection has seen. `_reading`: the lock of each process for what `within` reads, as that
    of a parent may be held for ever."""

    schema: ServerSchema[S]

    def __init__(
        self, url: str, namespace: str, redacted_url: str, dialect: Dialect, share: float = 0.0
    ) -> None:
        super().__init__(url, namespace, redacted_url, dialect, CURSOR_LIFETIME, share)
        self._lost_names: list[str] = []
        self._connections: Connections[S] = Connections(
            self._connect, lambda session: session.close(), self._alive
        )
        self._store = Store()
        self._reading: dict[int, RLock] = {}
        self._proved: WeakSet[Any] = WeakSet()  # connections that have this database

    @abstractmethod
    def _open_session(self, lost: Sequence[str]) -> S:
        """Open a connection, and end those with the names `lost`. Raises EngineError."""

    def _open(self) -> S:
        """Open a connection without looking at the tables."""
        lost = self._lost_names[:]
        session = self._open_session(lost)
        for name in lost:
            if name in self._lost_names:
                self._lost_names.remove(name)
        return session

    def _connect(self) -> S:
        try:
            session = self._open()
            try:
                store = self.schema.read(session)
                self.schema.require(store.version)
                self._store = store
            except BaseException:
                session.close()
                raise
        except EngineUnavailable as error:
            error.maybe_stored = False
            raise
        return session

    def within(
        self, connection: UserConnection, notify: bool = True
    ) -> Callable[[Sequence[Push]], object]:
        """As in the base. The own connection that a new process needs is opened here, where the
        application has often sent nothing yet: a small pooler may have no second one."""
        store = super().within(connection, notify)
        with suppress(SchemaError, RightMissing):  # a dispatch says what is wrong with the tables
            self._load_store()
        return store

    def _check_database(self, connection: UserConnection) -> None:
        if connection.raw() in self._proved:
            return

        def load(again: bool) -> str:
            return self._load_store(again).id

        check_id(connection, self._user_texts(), self.user_sql, self.redacted_url, load)
        with suppress(TypeError):  # a driver's class that allows no weak references
            self._proved.add(connection.raw())

    def _load_store(self, again: bool = False) -> Store:
        """Return what the engine's connections see. If none has been opened yet, one thread opens
        one, and others wait for it. Raises EngineError."""
        if self._store.id and not again:
            return self._store
        lock = self._reading.setdefault(os.getpid(), RLock())
        is_mine = lock.acquire(timeout=READING)
        try:
            if again or not self._store.id:
                self._store = self.schema.read(self.session)
        except EngineRefused:
            raise
        except EngineUnavailable as error:
            raise EngineUnavailable(f"{error}; {ONCE}") from error
        finally:
            if is_mine:
                lock.release()
        return self._store

    def _alive(self, session: S) -> bool:
        alive = session.alive()
        if not alive:
            self._lost_names.append(session.name)
        return alive

    def _drop(self, session: ServerSession[Any]) -> None:
        self._lost_names.append(session.name)
        self._connections.drop()

    def wait(self, queues: Queues, timeout: float) -> int:
        end = time.monotonic() + timeout
        while True:
            began = time.monotonic()
            found, later, clock = self._load_due_states(queues)
            jobs, next_due = take_wakeup(self.session, found, later, self._woken)
            now = time.monotonic()
            if jobs or now >= end:
                return jobs
            rest = end - now
            if next_due is not None:
                rest = min(rest, max(0.001, (next_due - clock) / 1e6))
            jobs = self._pause(queues, any(one.is_due for one in found), rest, now - began)
            if jobs:
                return jobs

    @abstractmethod
    def _pause(self, queues: Queues, is_due: bool, rest: float, took: float) -> int:
        """Wait for jobs for at most `rest` seconds. Returns how many there are, if it has taken
        their wake-up, or 0. `is_due`: whether something is due whose wake-up is taken. `took`: how
        many seconds the last look took."""

    @property
    def session(self) -> S:
        session = self._connections.get()
        if session.busy or session.is_quiet() or session.alive():
            return session
        self._drop(session)
        return self._connections.get()

    def close(self) -> None:
        self._connections.drop()


def clock_check(now: int) -> Check:
    """Return the line about the server's clock in `poolq doctor`. `now`: what it has just shown."""
    ahead = now / 1e6 - time.time()
    if abs(ahead) < MAX_CLOCK_DIFFERENCE:
        return Check("clock", "ok", "agrees with this host's within a second")
    direction = "ahead of" if ahead > 0 else "behind"
    return Check("clock", "warn", f"{abs(ahead):.1f} s {direction} this host's; jobs are due by the"
                 " server's clock")  # fmt: skip
