"""Opens connections, and ends those that were lost.

A lost connection may still hold locks on the server, or be about to commit. Each connection
therefore has a unique name. The next connection to be opened finds the lost ones by their names,
and ends them.
"""

import secrets
from collections.abc import Sequence
from typing import NamedTuple

from psycopg.conninfo import make_conninfo

from poolq.engines.postgresql.options import PostgreSQLOptions
from poolq.engines.postgresql.statements import Statements
from poolq.engines.postgresql.wire import SOCKET_TIMEOUT, ServerError, Wire, open_wire
from poolq.engines.sql.session import Query

#: Ends the connections with these names, and waits until they have ended.
END_LOST = """SELECT pg_terminate_backend(pid, 2000) FROM pg_stat_activity
    WHERE application_name {in_list}"""
#: The longest name of a connection, in bytes.
MAX_NAME = 63


class OpenedConnection(NamedTuple):
    """A connection, and its name on the server."""

    wire: Wire
    name: str


def connect(
    options: PostgreSQLOptions, namespace: str, statements: Statements, lost: Sequence[str] = ()
) -> OpenedConnection:
    """Connect to the first host that accepts, and end the connections with the names `lost`. Raises
    ServerError."""
    name = f"poolq:{namespace}:{secrets.token_hex(4)}"[-MAX_NAME:]
    timeout = float(options.parameters.get("connect_timeout", SOCKET_TIMEOUT))
    failed = ServerError("", "no host", is_over=True, was_sent=False)
    for host, port in options.hosts:
        conninfo = conninfo_of(options, name, host, port)
        try:
            wire = open_wire(conninfo, timeout)
        except ServerError as error:
            failed = error
            continue
        try:
            if lost:
                wire.run(statements.bind(Query(END_LOST, (lost,))))
        except BaseException:
            wire.close()
            raise
        return OpenedConnection(wire, name)
    raise failed


def conninfo_of(options: PostgreSQLOptions, name: str, host: str, port: str) -> str:
    """Return libpq's parameters for a connection to a host."""
    settings = " ".join(f"-c {key}={_escaped(one)}" for key, one in options.settings.items())
    return make_conninfo(
        **options.parameters,
        host=host or None,
        port=port or None,
        application_name=name,
        client_encoding="UTF8",
        gssencmode="disable",  # it crashes after a fork
        options=settings,
    )


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace(" ", "\\ ")
