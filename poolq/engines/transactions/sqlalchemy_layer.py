"""SQLAlchemy: its Connections and Sessions, and what a Session tells of its transactions."""

import logging
from collections.abc import Sequence
from functools import cached_property, lru_cache
from typing import Any

from sqlalchemy import Connection, Dialect, TextClause, event, text
from sqlalchemy.exc import UnboundExecutionError
from sqlalchemy.orm import Session, SessionTransaction, scoped_session
from sqlalchemy.util.concurrency import in_greenlet

from poolq.engines.transactions.committed import listed, store_committed
from poolq.engines.transactions.connection import (
    STATEMENTS,
    UserConnection,
    with_names,
    with_percent,
)
from poolq.engines.transactions.recognizing import driver_of
from poolq.errors import TransactionError
from poolq.jobs.message import Push
from poolq.jobs.producer import engine

log = logging.getLogger("poolq")
_SERVERS = {"mariadb": "mysql"}
_END = "after_transaction_end"
OWN_LISTENERS = 2
_INFO = "poolq"  # where a Session's `info` has its _Kept


class ConnectionLayer(UserConnection):
    """A Connection."""

    label = "this Connection of SQLAlchemy"

    def __init__(self, given: Connection) -> None:
        self._connection = given
        self._known: tuple[object, UserConnection | None] = (None, None)

    @cached_property
    def _dialect(self) -> Dialect:
        return self._connection.dialect

    @cached_property
    def server(self) -> str:  # type: ignore[override]  # nobody sets it
        return _SERVERS.get(self._dialect.name, self._dialect.name)

    def _connect(self) -> Connection:
        return self._connection

    def advice(self) -> str:
        if self._dialect.is_async and not in_greenlet():
            raise TransactionError(
                f"{self.label} belongs to an asynchronous one: dispatch in a function for the"
                " `run_sync` of that"
            )
        raw = self._connect().connection.driver_connection
        if raw is not self._known[0]:
            self._known = raw, driver_of(raw)
        driver = self._known[1]
        commits = driver.advice() != "" if driver is not None else self._is_autocommit()
        return "let it have another isolation level than AUTOCOMMIT" if commits else ""

    def _is_autocommit(self) -> bool:
        """Return whether this is what SQLAlchemy was told, if it alone knows the driver."""
        own = self._connection.get_execution_options().get("isolation_level")
        # What create_engine() was given has no public name.
        shared = getattr(self._connection.dialect, "_on_connect_isolation_level", None)
        return (own or shared) == "AUTOCOMMIT"

    def execute(self, sql: str, args: Sequence[Any]) -> None:
        if self._known[1] is None:
            self._connection.execute(_text(sql), dict(zip(_names(len(args)), args, strict=True)))
        else:  # a fifth faster, but it needs to know how the driver takes arguments
            driver_sql = sql if self.server == "sqlite" else with_percent(sql)
            self._connection.exec_driver_sql(driver_sql, tuple(args))

    def read(self, sql: str) -> Sequence[Any] | None:
        return self._connection.execute(_text(sql)).first()

    def raw(self) -> object:
        return self._known[0]  # `advice` has just found it

    def role(self) -> str:
        driver = self._known[1]
        return driver.role() if driver else str(self._connection.engine.url.username)


class SessionLayer(ConnectionLayer):
    """A Session, which is not flushed. Each of its transactions may have another connection."""

    label = "this Session of SQLAlchemy"
    tells_commits = True

    def __init__(self, given: "Session | scoped_session[Session]") -> None:
        self._given = given
        self._known = (None, None)

    @cached_property
    def _dialect(self) -> Dialect:
        try:
            return _session(self._given).get_bind().dialect
        except UnboundExecutionError as error:
            raise TransactionError(
                "this Session of SQLAlchemy has no database of its own: give the connection that"
                ' its connection(bind_arguments={"mapper": …}) returns'
            ) from error

    def _connect(self) -> Connection:
        self._connection = _session(self._given).connection()
        return self._connection

    def keep(self, pushes: Sequence[Push]) -> bool:
        session = _session(self._given)
        transaction = _innermost(session)
        if transaction is None:
            return False
        if _INFO not in session.info:
            session.info[_INFO] = _Kept(session)
        session.info[_INFO].keep(transaction, pushes)
        return True


@lru_cache(STATEMENTS)
def _names(count: int) -> Sequence[str]:
    """Return the names of so many arguments, see `with_names`."""
    return [f"a{number}" for number in range(count)]


@lru_cache(STATEMENTS)
def _text(sql: str) -> TextClause:
    return text(with_names(sql))


def _session(given: "Session | scoped_session[Session]") -> Session:
    """Return the Session. A scoped_session has another one after its `remove()`."""
    return given() if isinstance(given, scoped_session) else given


class _Kept:
    """The jobs that wait for the commits of one Session, by transaction. A savepoint has its own
    list, which its release appends to that of the transaction around it.

    Jobs are stored by the first listener of a transaction's end, as others may raise, but the
    commit has been made. An error of this is raised by the last one, so that all others are called.
    """

    def __init__(self, session: Session) -> None:
        self._jobs: dict[SessionTransaction, list[Push]] = {}
        self._committed: SessionTransaction | None = None
        self._error: Exception | None = None
        event.listen(session, "after_commit", self._after_commit, insert=True)
        event.listen(session, _END, self._after_end, insert=True)

    def keep(self, transaction: SessionTransaction, pushes: Sequence[Push]) -> None:
        self._jobs.setdefault(transaction, []).extend(pushes)

    def _after_commit(self, session: Session) -> None:
        self._committed = _innermost(session)
        if event.contains(session, _END, self._raise):
            event.remove(session, _END, self._raise)
        event.listen(session, _END, self._raise)  # behind what the application has added since

    def _after_end(self, session: Session, transaction: SessionTransaction) -> None:
        """A transaction or savepoint has ended. Flushes have further ones, which have no jobs."""
        is_committed = self._committed is transaction
        if is_committed:
            self._committed = None
        self._error = None
        pushes = self._jobs.pop(transaction, None)
        if not pushes or not is_committed:
            return
        around = _innermost(session)
        if around is not None:
            self.keep(around, pushes)
            return
        try:
            _store(session, transaction, pushes)
        except Exception as error:  # noqa: BLE001  # raised when all others have been called
            self._error = error
            if len(list(getattr(session.dispatch, _END))) > OWN_LISTENERS:
                log.error("%s", error)  # as another one may raise and hide it

    def _raise(self, *_: object) -> None:
        error, self._error = self._error, None
        if error is not None:
            raise error


def _store(session: Session, ended: SessionTransaction, pushes: Sequence[Push]) -> None:
    if _is_joined(session, ended) and not engine().commits_early:
        raise TransactionError(
            "this Session of SQLAlchemy has joined a transaction of its Connection, which is"
            f" not committed, so jobs are not stored: {listed([push.id for push in pushes])}; use"
            " poolq.within, or dispatch after that commit; in tests, use poolq_jobs"
        )
    store_committed(pushes)


def _is_joined(session: Session, ended: SessionTransaction) -> bool:
    """Return whether a Connection is still in a transaction, which its owner commits. The Session
    tells of its own commit even so, and has no public name for the Connections of its tables."""
    used = [one for one, *_ in getattr(ended, "_connections", {}).values()]
    ours = (one for one in (session.bind, *used) if isinstance(one, Connection))
    return any(one.in_transaction() for one in ours)


def _innermost(session: Session) -> SessionTransaction | None:
    return session.get_nested_transaction() or session.get_transaction()
