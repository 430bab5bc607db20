"""Connections of the drivers: sqlite3, PyMySQL and psycopg."""

from collections.abc import Sequence
from typing import Any

from poolq.engines.transactions.connection import UserConnection, with_percent

#: Bits of `server_status` of MySQL's protocol.
IN_TRANSACTION, AUTOCOMMIT = 1, 2


class _Driver(UserConnection):
    """`raw`: the driver's connection."""

    def __init__(self, raw: Any) -> None:
        self._raw = raw

    def raw(self) -> object:
        return self._raw


class SQLiteDriver(_Driver):
    label, server = "this sqlite3 connection", "sqlite"

    def advice(self) -> str:
        raw = self._raw
        # Unless told otherwise, Python's module begins a transaction before the next INSERT.
        begins = raw.isolation_level is not None and getattr(raw, "autocommit", None) is not True
        return "" if begins or raw.in_transaction else "execute BEGIN first"

    def execute(self, sql: str, args: Sequence[Any]) -> None:
        self._raw.execute(sql, args)

    def read(self, sql: str) -> Sequence[Any] | None:
        cursor = self._raw.cursor()
        cursor.row_factory = None
        row: Sequence[Any] | None = cursor.execute(sql).fetchone()
        return row


class PyMySQLDriver(_Driver):
    label, server = "this PyMySQL connection", "mysql"

    def advice(self) -> str:
        status: int = self._raw.server_status
        closed = status & AUTOCOMMIT and not status & IN_TRANSACTION
        return "call its begin() first" if closed else ""

    def execute(self, sql: str, args: Sequence[Any]) -> None:
        with self._raw.cursor() as cursor:
            cursor.execute(with_percent(sql), args)

    def read(self, sql: str) -> Sequence[Any] | None:
        from pymysql.cursors import Cursor

        with self._raw.cursor(Cursor) as cursor:
            cursor.execute(sql)
            row: Sequence[Any] | None = cursor.fetchone()
        return row


class PsycopgDriver(_Driver):
    label, server = "this psycopg connection", "postgresql"

    def __init__(self, raw: Any) -> None:
        from psycopg import Cursor
        from psycopg.pq import TransactionStatus

        super().__init__(raw)
        self._idle, self._active = TransactionStatus.IDLE, TransactionStatus.ACTIVE
        self._cursor = Cursor(raw)  # one of the connection's own class may take no %s

    def advice(self) -> str:
        raw = self._raw
        if raw.autocommit and raw.info.transaction_status == self._active:  # it is in a pipeline
            self.read("SELECT 1")  # all that was sent before is answered, too
        closed = raw.autocommit and raw.info.transaction_status == self._idle
        return "use it within its transaction()" if closed else ""

    def execute(self, sql: str, args: Sequence[Any]) -> None:
        self._cursor.execute(with_percent(sql), args)

    def read(self, sql: str) -> Sequence[Any] | None:
        from psycopg import Cursor
        from psycopg.rows import tuple_row

        with Cursor(self._raw, row_factory=tuple_row) as cursor:
            return cursor.execute(sql).fetchone()

    def role(self) -> str:
        return str(self._raw.info.user)
