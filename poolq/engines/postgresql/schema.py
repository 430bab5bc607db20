"""The tables on the server."""

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from poolq.engines.postgresql.dialect import with_schema
from poolq.engines.postgresql.faults import NO_RIGHT, translate
from poolq.engines.postgresql.options import quoted
from poolq.engines.postgresql.session import PostgreSQLSession
from poolq.engines.postgresql.wire import ServerError
from poolq.engines.sql.rights import grants
from poolq.engines.sql.schema import READ_VERSION, SHARED, WRITE_VERSION
from poolq.engines.sql.servers import ServerSchema, Store
from poolq.engines.sql.session import Query, RenderedSQL, Transaction
from poolq.errors import ConfigError, EngineError

#: Lets one migration run at a time. It is the only advisory lock.
LOCK_MIGRATION = "SELECT pg_advisory_xact_lock(hashtextextended(?, 0))"
HAS_TABLES = "SELECT to_regclass(?) IS NOT NULL"
#: The first schema of the search path that exists and may be used, and whether this one exists.
FIND_SCHEMA = "SELECT current_schema(), to_regnamespace(?) IS NOT NULL"
#: The first schema of the search path that has the tables, or else that exists, usable or not.
FIND_HOME = """SELECT home.nspname FROM pg_namespace home JOIN unnest(string_to_array(replace(
        current_setting('search_path'), '"$user"', quote_ident(current_user)), ','))
    WITH ORDINALITY path (name, n) ON home.oid = to_regnamespace(btrim(name))
    LEFT JOIN pg_class made ON made.relnamespace = home.oid AND made.relname = ?
    ORDER BY made.oid IS NULL, n LIMIT 1"""
NO_SCHEMA = "the role's search_path has no schema; name one: ?schema=…"


class PostgreSQLSchema(ServerSchema[PostgreSQLSession]):
    number = 2
    files = (SHARED, Path(__file__).with_name("schema.sql"))

    @property
    def printed(self) -> RenderedSQL:
        name = self._options.schema
        return RenderedSQL(with_schema(quoted(name)), self.namespace) if name else self.texts

    def grants(self, role: str, kinds: Sequence[str] | None) -> str:
        schema, guess, database = self._options.schema, "", self._options.parameters["dbname"]
        try:
            schema = schema or self._find_home()
        except EngineError as error:
            schema, guess = "public", f"-- The schema is a guess; name it by ?schema=: {error}\n"
        return guess + grants(self.texts, quoted(database), quoted(schema), quoted(role), kinds)

    def _find_home(self) -> str:
        """Return the schema in which the tables are or would be."""
        with closing(self._connect()) as session:
            (found,) = session.read(Query(FIND_HOME, (f"{self.namespace}_schema",)))
        if not found.rows:
            raise ConfigError(f"{self.redacted_url}: {NO_SCHEMA}")
        return str(found.rows[0][0])

    def read(self, session: PostgreSQLSession) -> Store:
        store = super().read(session)
        if not store.version:
            self._check_schema(session)
        return store

    def _migrate(self, session: PostgreSQLSession) -> bool:
        self._check_schema(session)
        return session.transact(self._make)

    def _check_schema(self, session: PostgreSQLSession) -> None:
        """Raise ConfigError if the schema does not exist, or EngineError if it may not be used."""
        name = self._options.schema
        (found,) = session.read(Query(FIND_SCHEMA, (quoted(name or "public"),)))
        current, exists = found.rows[0]
        if current is not None:
            self.place = f" in schema {current!r}"
            return
        if not name:
            raise ConfigError(f"{self.redacted_url}: {NO_SCHEMA}")
        if not exists:
            raise ConfigError(
                f"{self.redacted_url}: there is no schema {name!r};"
                f" create it: CREATE SCHEMA {quoted(name)};"
            )
        refused = ServerError(NO_RIGHT, f"permission denied for schema {name}")
        raise translate(refused, self._options)

    def _make(self, tx: Transaction) -> bool:
        table = self.texts["{schema}"]
        _, there = tx.run(Query(LOCK_MIGRATION, (table,)), Query(HAS_TABLES, (table,)))
        version = tx.one(READ_VERSION) if there.rows[0][0] else None
        missing = self.missing(int(version[0]) if version else 0)
        if missing:
            tx.later(*map(Query, missing), Query(WRITE_VERSION, (self.number,)))
        return bool(missing)
