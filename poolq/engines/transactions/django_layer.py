"""Django: its connections, and its callbacks after a commit."""

from collections.abc import Callable, Sequence
from typing import Any
from weakref import WeakSet

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from poolq.common.names import suggestion
from poolq.config.engine_urls import redact
from poolq.engines.transactions.committed import store_committed
from poolq.engines.transactions.connection import UserConnection, with_percent
from poolq.errors import TransactionError
from poolq.jobs.ids import JobId
from poolq.jobs.message import Push

#: Jobs, each with what is told its id once it is stored.
Kept = list[tuple[Push, Callable[[JobId], object]]]


class DjangoLayer(UserConnection):
    """The connection of an alias, in this thread. `given`: it, or its alias."""

    tells_commits = True

    def __init__(self, given: Any) -> None:
        self.given = given
        self._connection = connection_of(given)
        self.label = f"Django's connection {self._connection.alias!r}"
        self.server = self._connection.vendor
        self._cursor: Any = None
        self._cursor_of: tuple[object, ...] = ()

    def advice(self) -> str:
        return "" if is_open(self._connection) else "use it within transaction.atomic()"

    def execute(self, sql: str, args: Sequence[Any]) -> None:
        connection = self._connection
        of = connection.connection, connection.force_debug_cursor
        if of != self._cursor_of:
            self._cursor, self._cursor_of = connection.cursor(), of
        self._cursor.execute(with_percent(sql), args)

    def read(self, sql: str) -> Sequence[Any] | None:
        with self._connection.cursor() as cursor:
            cursor.execute(sql)
            row: Sequence[Any] | None = cursor.fetchone()
        return row

    def raw(self) -> object:
        raw: object = self._connection.connection
        return raw

    def role(self) -> str:
        return str(self._connection.connection.info.user)

    def keep(self, pushes: Sequence[Push]) -> bool:
        connection = connection_of(self.given)  # that of the thread that dispatches
        if not is_open(connection):
            return False
        kept(connection).extend((push, _tell_nobody) for push in pushes)
        return True


def connection_of(given: Any) -> Any:
    """Return this thread's connection of an alias. Raises TransactionError."""
    if isinstance(given, BaseDatabaseWrapper):
        return given
    alias = given if isinstance(given, str) else given.alias
    if alias not in connections:
        known = list(connections)
        hint = suggestion(alias, known, f"the aliases are {', '.join(known)}")
        raise TransactionError(f"Django has no database {redact(alias)!r}; {hint}")
    return connections[alias]


def is_open(connection: Any) -> bool:
    """Return whether a transaction is open. Does not connect."""
    commits = connection.settings_dict["AUTOCOMMIT"]
    if connection.connection is not None:
        commits = connection.autocommit
    return connection.in_atomic_block or not commits


def _tell_nobody(_: JobId) -> None:
    """Of a job that is no task."""


class _Batch:
    """What one transaction, or one savepoint, keeps until the commit: Django calls it then, and no
    later one of the transaction if it raises. `others`: all batches of the transaction that have
    not been called. A rollback to a savepoint drops its own, of which nobody else has a reference.
    """

    def __init__(self) -> None:
        self.kept: Kept = []
        self.others: WeakSet[_Batch] = WeakSet()

    def __call__(self) -> None:
        self.others.discard(self)
        later = [push for other in self.others for push in other.pushes()]
        ids = store_committed(self.pushes(), sorted(later, key=lambda push: push.id))
        for (_, tell), id_ in zip(self.kept, ids, strict=True):
            tell(id_)

    def pushes(self) -> list[Push]:
        return [push for push, _ in self.kept]


def kept(connection: Any) -> Kept:
    """Return what a transaction keeps now: by its last callback, if this is a batch of the same
    savepoint, so that callbacks run in their order; or else by a new one. It is a new one in a
    TestCase, whose `captureOnCommitCallbacks` calls only what was added inside of it."""
    is_test = any(one._from_testcase for one in connection.atomic_blocks)  # noqa: SLF001  # no other
    if connection.run_on_commit and not is_test:
        savepoints, last, *_ = connection.run_on_commit[-1]
        if isinstance(last, _Batch) and savepoints == set(connection.savepoint_ids):
            return last.kept
    made = _Batch()
    callbacks = [callback for _, callback, *_ in connection.run_on_commit]
    made.others = next((one.others for one in callbacks if isinstance(one, _Batch)), made.others)
    made.others.add(made)
    connection.on_commit(made)
    return made.kept
