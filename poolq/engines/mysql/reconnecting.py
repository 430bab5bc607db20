"""Opens connections, and kills those that were lost, which it finds by the locks that they hold.

Each connection takes a named lock, whose name is its own.
"""

import encodings.idna  # noqa: F401  # needed to connect; here, so that workers share it with their template
import secrets
import ssl
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from typing import Any, NamedTuple

import pymysql
from pymysql.constants import CLIENT

from poolq.engines.mysql.options import MySQLOptions
from poolq.errors import EngineUnavailable

Raw = pymysql.connections.Connection

#: Seconds to connect, and to wait for data on a socket.
SOCKET_TIMEOUT = 5
SESSION_SETTINGS = """SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED;
SET time_zone = '+00:00', wait_timeout = 60, innodb_lock_wait_timeout = 3,
    group_concat_max_len = 16777216,
    sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION,PIPES_AS_CONCAT';
SELECT @@max_allowed_packet"""


class Connection(pymysql.connections.Connection):
    """A PyMySQL connection that does not read the system's certificates (6 ms of CPU) if it does
    not have to verify any."""

    def _create_ssl_ctx(self, sslp: dict[str, Any]) -> ssl.SSLContext:
        if sslp and sslp != {"verify_mode": "none"}:
            made: ssl.SSLContext = super()._create_ssl_ctx(sslp)  # type: ignore[misc]  # not in stubs
            return made
        return _trusting()


@cache
def _trusting() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class OpenedConnection(NamedTuple):
    """A connection, the name of its lock on the server, and the longest allowed packet in bytes."""

    raw: Raw
    name: str
    packet: int


def connect(options: MySQLOptions, lost: Sequence[str] = ()) -> OpenedConnection:
    """Connect, and kill the connections that hold the locks named by `lost`. Raises pymysql.Error,
    or EngineUnavailable if no connection can be attempted."""
    try:
        raw = Connection(
            host=options.host,
            port=options.port,
            user=options.user or None,
            password=options.password,  # PyMySQL sends text as Latin-1
            database=options.database,
            charset="utf8mb4",
            autocommit=True,
            client_flag=CLIENT.MULTI_STATEMENTS,
            connect_timeout=SOCKET_TIMEOUT,
            read_timeout=SOCKET_TIMEOUT,
            write_timeout=SOCKET_TIMEOUT,
            program_name="poolq",
            **options.more,
        )
    except (RuntimeError, OSError, UnicodeError) as error:  # a missing package, certificate or host
        said = " ".join(str(error).split())
        raise EngineUnavailable(f"{options.redacted_url} cannot be reached: {said}") from error
    try:
        return _prepare(raw, lost)
    except BaseException:
        close(raw)
        raise


def close(raw: Raw) -> None:
    with suppress(pymysql.Error):  # closed already
        raw.close()


def _prepare(raw: Raw, lost: Sequence[str]) -> OpenedConnection:
    row = None
    with raw.cursor() as cursor:
        cursor.execute(SESSION_SETTINGS)
        while cursor.nextset():
            row = cursor.fetchone()
        packet = int(row[0]) if row else 1 << 20
        name = f"poolq {secrets.token_hex(12)}"
        with suppress(pymysql.MySQLError):  # some clusters refuse named locks, so nothing is killed
            cursor.execute("SELECT GET_LOCK(%s, 0)", (name,))
            for one in lost:
                cursor.execute("SELECT IS_USED_LOCK(%s)", (one,))
                found = cursor.fetchone()
                if found is not None and found[0] is not None:
                    cursor.execute(f"KILL {found[0]:d}")
    return OpenedConnection(raw, name, packet)
