"""Opening a connection: what is set on each of them, and the end of those that were lost.

A connection that is lost to us may still hold locks on the server, or be about to commit. Each
one therefore holds a lock of the server's own kind, by a name that nobody else has; whoever
connects next asks who holds that name, and has it killed.
"""

import encodings.idna  # noqa: F401  # connecting needs it; here workers share it with their template
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

#: Seconds that a socket may be silent.
SOCKET_TIMEOUT = 5
SESSION_SETTINGS = """SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED;
SET time_zone = '+00:00', wait_timeout = 60, innodb_lock_wait_timeout = 3,
    group_concat_max_len = 16777216, sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION';
SELECT @@max_allowed_packet"""


class Connection(pymysql.connections.Connection):
    """PyMySQL's own, which reads all certificates of the system for each connection, 6 ms of CPU,
    also where it is to verify none."""

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
    """A connection; `name` is what the server knows it by; the longest packet in bytes."""

    raw: Raw
    name: str
    packet: int


def connect(options: MySQLOptions, lost: Sequence[str] = ()) -> OpenedConnection:
    """Connect, and end the connections of these names. Raises pymysql.Error."""
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
    except (RuntimeError, OSError, UnicodeError) as error:  # no package, certificate or such host
        said = " ".join(str(error).split())
        raise EngineUnavailable(f"{options.redacted_url} cannot be reached: {said}") from error
    try:
        return _prepare(raw, lost)
    except BaseException:
        close(raw)
        raise


def close(raw: Raw) -> None:
    """Say goodbye, if there is still somebody to say it to."""
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
        with suppress(pymysql.MySQLError):  # some clusters refuse; then nothing can be killed
            cursor.execute("SELECT GET_LOCK(%s, 0)", (name,))
            for one in lost:
                cursor.execute("SELECT IS_USED_LOCK(%s)", (one,))
                found = cursor.fetchone()
                if found is not None and found[0] is not None:
                    cursor.execute(f"KILL {found[0]:d}")
    return OpenedConnection(raw, name, packet)
