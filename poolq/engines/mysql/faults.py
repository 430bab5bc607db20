"""Translates errors of the server into poolq's errors, and tells which can be retried."""

import pymysql

from poolq.config.own_command import own_command
from poolq.engines.mysql.options import MySQLOptions
from poolq.engines.sql.session import DuplicateKey
from poolq.errors import EngineError, EngineRefused, EngineUnavailable, RightMissing, SchemaError

#: Errors after which a transaction is repeated: a row changed after MariaDB's snapshot (1020),
#: lock wait timeout (1205), deadlock (1213), a statement that was killed (1317) or too slow (1969,
#: 3024), rollback by group replication (3101).
RETRYABLE = (1020, 1205, 1213, 1317, 1969, 3024, 3101)
#: Errors of a connection that was cut, or whose server shuts down or has become read-only.
LOST = (0, 1053, 1152, 1158, 1159, 1160, 1161, 1290, 1836, 1927, 2003, 2006, 2013, 2055, 4031)
#: Errors of a server that is currently not part of its cluster (Galera, group replication).
OUT_OF_CLUSTER = (1047, 3100)
#: Errors after which the server has certainly stored nothing: not reached, or refusing writes.
UNSTORED = (1047, 1290, 1836, 2003, 2006)
NO_TABLE = (1146, 1054)

_ADVICE: tuple[tuple[type[EngineError], tuple[int, ...], str], ...] = (
    (EngineRefused, (1044, 1045, 1698), "; check the user, the password and the privileges"),
    (EngineRefused, (1049,), "; create it: CREATE DATABASE `{database}`"),
    (EngineUnavailable, (1040, 1203, 1226), "; raise max_connections, or run fewer processes"),
    (EngineUnavailable, (3, 1021, 1114), "; free space on the server's disk"),
    (EngineUnavailable, RETRYABLE, "; retries did not help"),
    (RightMissing, (1142, 1143), "; grant it to this user"),
    (SchemaError, NO_TABLE, ": run what {sql} prints"),
    (EngineError, (1665,), "; set binlog_format to ROW or MIXED"),
    (EngineError, (1153, 1301), "; raise max_allowed_packet, or send less"),
    (DuplicateKey, (1062,), "; a job with that id is stored already"),
    (EngineError, (1406,), "; a name may have at most 255 bytes, and a limit's key 1,000"),
)


def code(error: pymysql.Error) -> int:
    """Return the error's number; 0 if it has none, for example if the connection is closed."""
    found = error.args[0] if error.args else 0
    return found if isinstance(found, int) else 0


def can_retry(error: pymysql.Error) -> bool:
    return code(error) in RETRYABLE


def is_lost(error: pymysql.Error) -> bool:
    """Return whether the connection has become useless."""
    odd = isinstance(error, (pymysql.InterfaceError, pymysql.InternalError))
    return code(error) in (*LOST, *OUT_OF_CLUSTER) or (odd and code(error) not in RETRYABLE)


def translate(error: pymysql.Error, options: MySQLOptions) -> EngineError:
    """Return poolq's error for a server's error. Its text is one line, with advice."""
    number = code(error)
    said = " ".join(str(error.args[1] if len(error.args) > 1 else error).split())
    what = f"{options.redacted_url}: {said or 'the connection is closed'}"
    names = {"database": options.database, "sql": own_command("db sql")}
    for kind, numbers, advice in _ADVICE:
        if number in numbers:
            return kind(what + advice.format(**names))
    if is_lost(error):
        # The server has not run a statement that was sent in part, but may have run a complete one.
        return EngineUnavailable(what, maybe_stored=number not in UNSTORED)
    return EngineError(f"{what} ({number})")
