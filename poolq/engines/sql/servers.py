"""What the engines of database servers share: MySQL and PostgreSQL.

Their connections may be lost, and the server may then still run the last transaction. Each
connection therefore has a unique name. The next connection to be opened finds the lost ones by
their names, and ends them.
"""

import os
import select
import time
from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing, suppress
from itertools import count, islice
from random import random
from threading import RLock
from typing import Any, Generic, NamedTuple, TypeVar
from weakref import WeakSet

from poolq.engines.base import Check, Queues
from poolq.engines.connections import Connections, raised_by_handler, reentrancy_error
from poolq.engines.sanitize import to_text
from poolq.engines.sql.engine import SQLEngine
from poolq.engines.sql.queues.wakeups import take_wakeup
from poolq.engines.sql.schema import SQLSchema

from poolq.engines.sql.session import (  # isort: skip
    BatchQuery, Dialect, Query, QueryResult, RenderedSQL, Session, Transaction, in_chunks,
)  # fmt: skip
from poolq.engines.sql.within import check_id
from poolq.engines.transactions.connection import UserConnection
from poolq.errors import EngineError, EngineRefused, EngineUnavailable, RightMissing, SchemaError
from poolq.jobs.message import Push

T = TypeVar("T")
E = TypeVar("E", bound=Exception)
S = TypeVar("S", bound="ServerSession[Any]")

#: Seconds after which a claim scans a queue from its head again.
CURSOR_LIFETIME = 0.1
#: Seconds of retries after which a transaction fails.
RETRY_TIMEOUT = 10.0
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


def results_by_query(
    statements: Iterable[Sequence[object]], results: Iterable[QueryResult]
) -> list[QueryResult]:
    """Return the result of each query. `statements`: those of each query. `results`: those of all
    statements, one after the other."""
    rest = iter(results)
    return [
        next(rest)
        if len(some) == 1
        else QueryResult((), sum(one.changed for one in islice(rest, len(some))))
        for some in statements
    ]


class ServerTransaction(Transaction):
    """A transaction that begins with the first statements sent and ends with the last. `marking`:
    the statement that marks jobs as claimed, and for how many at once: few, because it looks for
    the position of each one."""

    began = False
    marking: tuple[str, int]

    @abstractmethod
    def commit(self) -> None:
        """Send the collected changes and COMMIT in one round trip."""

    @abstractmethod
    def roll_back(self) -> None:
        """End the transaction without its changes."""

    def claim_updates(
        self, place: str, request: int, first: int, ids: Sequence[str], now: int
    ) -> list[Query | BatchQuery]:
        mark, most = self.marking
        chunks = zip(count(first - 1, most), in_chunks([*ids], most), strict=False)
        return [
            Query(mark, (place, request, now, before, self.positions(some), some))
            for before, some in chunks
        ]

    def positions(self, ids: Sequence[str]) -> object:
        """Return the argument in which `marking` looks for the position of an id."""
        return ids


class Faults(NamedTuple, Generic[E]):
    """What the errors of a driver, `raised`, mean: whether a transaction is repeated after one,
    whether the connection has become useless, and poolq's error for it."""

    raised: type[E]
    can_retry: Callable[[E], bool]
    is_lost: Callable[[E], bool]
    translate: Callable[[E, Any], EngineError]


class ServerSession(Session, Generic[E]):
    """A thread's connection to a server. `name`: under which the server lists it. `socket`: its
    number. `busy`: it waits for an answer, or is within a transaction. `on_lost` is called when the
    connection has become useless, `on_used` when the server has answered."""

    counted = 10_000
    faults: Faults[E]

    def __init__(
        self,
        name: str,
        options: Any,
        socket: int,
        on_lost: Callable[["ServerSession[E]"], None],
        on_used: Callable[[], None],
    ) -> None:
        self.name = name
        self.options = options
        self.known_queues: set[str] = set()
        self.busy = False
        self._on_lost = on_lost
        self._on_used = on_used
        self._poll = select.poll()
        self._poll.register(socket, select.POLLIN)

    def is_quiet(self) -> bool:
        """Return False if the server has sent something unasked, such as the connection's end."""
        return not self._poll.poll(0)

    @abstractmethod
    def ping(self) -> None:
        """Ask the server for an answer. Raises the driver's errors, OSError."""

    @abstractmethod
    def close(self) -> None: ...

    @abstractmethod
    def begin(self) -> ServerTransaction:
        """Return a new transaction."""

    def alive(self) -> bool:
        if self.busy:
            return True
        self.busy = True
        try:
            self.ping()
        except (self.faults.raised, OSError) as error:
            by_handler = raised_by_handler(error)
            if by_handler is None:
                return False
            self._on_lost(self)
            raise by_handler from None
        except BaseException:
            self._on_lost(self)
            raise
        finally:
            self.busy = False
        return True

    def transact(self, work: Callable[[Transaction], T], gives_way: bool = False) -> T:  # noqa: ARG002  # on servers, writers do not wait in line
        return self.retry(lambda: self._run_transaction(work))

    def _run_transaction(self, work: Callable[[Transaction], T]) -> T:
        tx = self.begin()
        try:
            result = work(tx)
            tx.commit()
        except self.faults.raised as error:
            if tx.began and not self.faults.is_lost(error):
                tx.roll_back()
            raise
        return result

    def retry(self, act: Callable[[], T]) -> T:
        """Run `act`, and repeat it after a deadlock or a lock timeout. Raises EngineError in a
        signal handler that has interrupted another statement of this thread."""
        if self.busy:
            raise reentrancy_error(self.options.redacted_url)
        self.busy = True
        try:
            return self._retry_until_done(act)
        finally:
            self.busy = False

    def _retry_until_done(self, act: Callable[[], T]) -> T:
        end, faults = 0.0, self.faults
        while True:
            try:
                return act()
            except faults.raised as error:
                now = time.monotonic()
                end = end or now + RETRY_TIMEOUT
                if not faults.can_retry(error) or now > end:
                    if faults.is_lost(error):
                        self._on_lost(self)
                    raise faults.translate(error, self.options) from error
            except BaseException:
                # For example, a signal handler has raised. The transaction may still be open, and
                # an answer to come, which the next statement would take for its own.
                self._on_lost(self)
                raise
            time.sleep(0.02 * random())


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
