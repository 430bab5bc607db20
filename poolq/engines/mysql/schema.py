"""The tables on the server. Only `poolq db migrate` changes them."""

from collections.abc import Iterator
from contextlib import contextmanager

import pymysql

from poolq.engines.mysql.faults import NO_TABLE, code, translate
from poolq.engines.mysql.options import MySQLOptions
from poolq.engines.mysql.reconnecting import Raw, close, connect
from poolq.engines.schema_version import SCHEMA_VERSION
from poolq.engines.sql.schema import READ_VERSION, WRITE_VERSION, SQLSchema
from poolq.engines.sql.session import RenderedSQL
from poolq.errors import EngineUnavailable

#: Seconds to wait for another migration.
MIGRATION_LOCK_TIMEOUT = 4


class MySQLSchema(SQLSchema):
    def __init__(self, options: MySQLOptions, texts: RenderedSQL, namespace: str) -> None:
        super().__init__(texts, namespace, options.redacted_url)
        self._options = options

    def version(self) -> int:
        with self._connected() as raw:
            return self.read(raw)

    def migrate(self) -> bool:
        with self._connected() as raw, raw.cursor() as cursor:
            name = f"{self._options.database}.{self.namespace} schema"[:64]
            cursor.execute("SELECT GET_LOCK(%s, %s)", (name, MIGRATION_LOCK_TIMEOUT))
            if cursor.fetchone() != (1,):
                raise EngineUnavailable(
                    f"{self.redacted_url}: another migration is running; try again later"
                )
            missing = self.missing(self.read(raw))
            for one in missing:
                cursor.execute(one)
            if missing:
                cursor.execute(self.texts[WRITE_VERSION].replace("?", "%s"), (SCHEMA_VERSION,))
        return bool(missing)

    def read(self, raw: Raw) -> int:
        """Return the version of the tables that a connection sees. Raises pymysql.Error."""
        try:
            with raw.cursor() as cursor:
                cursor.execute(self.texts[READ_VERSION])
                row = cursor.fetchone()
        except pymysql.Error as error:
            if code(error) in NO_TABLE:
                return 0
            raise
        return int(row[0]) if row else 0

    @contextmanager
    def _connected(self) -> Iterator[Raw]:
        try:
            raw = connect(self._options).raw
            try:
                yield raw
            finally:
                close(raw)
        except pymysql.Error as error:
            raise translate(error, self._options) from error
