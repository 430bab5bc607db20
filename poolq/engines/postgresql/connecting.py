"""Opens connections, and ends those that were lost, which it finds by `application_name`."""

import secrets
from collections.abc import Sequence
from typing import NamedTuple

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.pq.abc import PGconn

from poolq.engines.postgresql.options import PostgreSQLOptions
from poolq.engines.postgresql.statements import Statements
from poolq.engines.postgresql.wire import NO_CODE, SOCKET_TIMEOUT, ServerError, Wire
from poolq.engines.sql.session import Query, RenderedSQL
from poolq.errors import ConfigError

#: Ends the connections with these names, and waits until they have ended.
END_LOST = """SELECT pg_terminate_backend(pid, 2000) FROM pg_stat_activity
    WHERE application_name {in_list}"""
#: The settings, and the process that has set them. They last for the session if this process is
#: that of the argument, or if the argument is 0. Otherwise, they last for a transaction.
SET = """SELECT pg_backend_pid(), set_config(name, value, ? NOT IN (0, pg_backend_pid()))
    FROM unnest(?, ?) given (name, value)"""
#: The longest name of a connection, in bytes.
MAX_NAME = 63
#: The oldest server, as it writes its version.
MIN_SERVER = 150_000


class OpenedConnection(NamedTuple):
    """A connection, its name on the server, and its statements. `beginning`: what each transaction
    begins with."""

    wire: Wire
    name: str
    statements: Statements
    beginning: Sequence[Query]


def connect(
    options: PostgreSQLOptions, namespace: str, texts: RenderedSQL, lost: Sequence[str] = ()
) -> OpenedConnection:
    """Connect to the first host that accepts, and end the connections with the names `lost`. Raises
    ServerError, and ConfigError if poolq cannot work on the server."""
    name = f"poolq:{namespace}:{secrets.token_hex(4)}"[-MAX_NAME:]
    given = {
        "connect_timeout": f"{SOCKET_TIMEOUT:g}",
        **options.parameters,
        "application_name": name,
        "client_encoding": "UTF8",
        "gssencmode": "disable",  # it crashes after a fork
    }
    try:
        connection = psycopg.Connection.connect(make_conninfo("", **given))
    except psycopg.Error as error:
        said = str(error).partition("\n")[0].removeprefix("connection failed: ")
        raise ServerError(NO_CODE, said, is_over=True, was_sent=False) from error
    wire, statements = Wire(connection), Statements(texts, connection)
    try:
        _check_server(wire.raw, options.redacted_url)
        beginning = _set(wire, options, statements)
        if lost:
            wire.run(statements.bind(Query(END_LOST, (lost,))))
    except BaseException:
        wire.close()
        raise
    return OpenedConnection(wire, name, statements, beginning)


def _check_server(raw: PGconn, url: str) -> None:
    """Raise ConfigError if the server that has just been connected to is none that poolq can use.
    The server has told all this by itself."""
    version = (raw.parameter_status(b"server_version") or b"").decode()
    encoding = (raw.parameter_status(b"server_encoding") or b"").decode()
    relative = "YugabyteDB" if "-YB-" in version else ""
    if raw.parameter_status(b"crdb_version"):
        relative = "CockroachDB"
    needed = MIN_SERVER // 10_000
    if relative:
        raise ConfigError(f"{url} is {relative}; poolq needs PostgreSQL itself, {needed} or newer")
    if raw.server_version < MIN_SERVER:
        raise ConfigError(f"{url} is PostgreSQL {version}; poolq needs {needed} or newer")
    if encoding != "UTF8":
        raise ConfigError(
            f"{url}: this database has the encoding {encoding}; poolq needs one that was made with"
            " ENCODING 'UTF8' TEMPLATE template0"
        )


def _set(wire: Wire, options: PostgreSQLOptions, statements: Statements) -> Sequence[Query]:
    """Set what can be set for the session. Returns what must be set in each transaction, if a
    pooler is found that may use another session for each."""
    pid = 0 if options.is_session else wire.raw.backend_pid
    query = Query(SET, (pid, list(options.settings), list(options.settings.values())))
    (found,) = wire.run(statements.bind(query))
    wire.is_shared = pid not in (0, int.from_bytes(found.get_value(0, 0) or b""))
    return [query] if wire.is_shared else []
