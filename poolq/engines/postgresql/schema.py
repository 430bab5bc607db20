"""The tables on the server. Only `poolq db migrate` changes them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from poolq.engines.postgresql.faults import NO_TABLE
from poolq.engines.postgresql.session import PostgreSQLSession
from poolq.engines.postgresql.wire import ServerError
from poolq.engines.schema_version import SCHEMA_VERSION
from poolq.engines.sql.schema import READ_VERSION, SHARED, WRITE_VERSION, SQLSchema
from poolq.engines.sql.session import Query, RenderedSQL, Transaction

#: Lets one migration run at a time. It is the only advisory lock.
LOCK_MIGRATION = "SELECT pg_advisory_xact_lock(hashtextextended(?, 0))"
HAS_TABLES = "SELECT to_regclass(?) IS NOT NULL"


class PostgreSQLSchema(SQLSchema):
    """`connect` opens a connection, whatever version the tables have."""

    files = (SHARED, Path(__file__).with_name("schema.sql"))

    def __init__(
        self, connect: Callable[[], PostgreSQLSession], texts: RenderedSQL, namespace: str, url: str
    ) -> None:
        super().__init__(texts, namespace, url)
        self._connect = connect

    def version(self) -> int:
        with self._connected() as session:
            return self.read(session)

    def migrate(self) -> bool:
        with self._connected() as session:
            return session.transact(self._migrate)

    def read(self, session: PostgreSQLSession) -> int:
        """Return the version of the tables that a new connection sees. Raises ServerError."""
        try:
            (found,) = session.send([Query(READ_VERSION)])
        except ServerError as error:
            if error.code in NO_TABLE:
                return 0
            raise
        return int(found.rows[0][0]) if found.rows else 0

    def _migrate(self, tx: Transaction) -> bool:
        table = self.texts["{schema}"]
        _, there = tx.run(Query(LOCK_MIGRATION, (table,)), Query(HAS_TABLES, (table,)))
        version = tx.one(READ_VERSION) if there.rows[0][0] else None
        missing = self.missing(int(version[0]) if version else 0)
        if missing:
            tx.later(*map(Query, missing), Query(WRITE_VERSION, (SCHEMA_VERSION,)))
        return bool(missing)

    @contextmanager
    def _connected(self) -> Iterator[PostgreSQLSession]:
        session = self._connect()
        try:
            yield session
        finally:
            session.close()
