"""Translates errors of the server into poolq's errors, and tells which can be retried."""

import re

from poolq.config.own_command import own_command
from poolq.engines.postgresql.options import PostgreSQLOptions
from poolq.engines.postgresql.rights import missing_grant
from poolq.engines.postgresql.wire import ServerError
from poolq.engines.sql.session import DuplicateKey
from poolq.errors import EngineError, EngineRefused, EngineUnavailable, RightMissing, SchemaError

#: Errors after which a transaction is repeated: serialization failure, deadlock, lock timeout, a
#: statement that was cancelled or too slow.
RETRYABLE = ("40001", "40P01", "55P03", "57014")
#: Errors of a connection that was cut, or whose server shuts down, recovers or has become
#: read-only, by the beginnings of their codes.
LOST = ("08", "57P", "25P03", "25P04", "25006", "58")
NO_RIGHT, READ_ONLY = "42501", "25006"
NO_TABLE = ("42P01", "42703")

_ADVICE: tuple[tuple[type[EngineError], tuple[str, ...], str], ...] = (
    (EngineUnavailable, ("53100",), "; free space on the server's disk"),
    (EngineUnavailable, ("53200",), "; give the server more memory"),
    (EngineUnavailable, RETRYABLE, "; retries did not help"),
    (SchemaError, NO_TABLE, ": run what {sql} prints"),
    (DuplicateKey, ("23505",), "; a job with that id is stored already"),
    (EngineRefused, ("26000", "42P05"), "; the pooler shares sessions: omit ?pooler=session"),
    (EngineError, ("22021",), "; PostgreSQL stores no NUL in a name"),
    (EngineError, ("54000",), "; a name may have at most 255 bytes, and a limit's key 1,000"),
)
#: Errors of a server that refuses a connection, by their words, as libpq keeps the code to itself.
#: It would show it after PQsetErrorVerbosity, which psycopg lacks. So in another language than
#: English, a refusal is taken for an outage, and the error has only the server's own words.
_REFUSALS: tuple[tuple[type[EngineUnavailable], str, str], ...] = (
    (EngineRefused,
     r"authentication failed|no password supplied|no pg_hba|role .* (does not exist|is not permit)",
     "; check the user and the password"),
    (EngineRefused, r"database .* does not exist",
     '; create it: CREATE DATABASE "{database}"'),
    (EngineRefused, "no such database", "; add it to the databases of the pooler"),
    (EngineRefused,
     r'(certificate|key) file|invalid \S+ value|parameter( "|:| in )|not support SSL, but',
     "; check the URL"),
    (EngineUnavailable, r"read-only|hot standby",
     "; name the primary, if this is a standby, or set default_transaction_read_only to off"),
    (EngineUnavailable, r"too many connections for", "; raise its CONNECTION LIMIT"),
    (EngineUnavailable, r"too many clients|remaining connection slots",
     "; raise max_connections, or run fewer processes"),
)  # fmt: skip


def can_retry(error: ServerError) -> bool:
    return error.code in RETRYABLE


def is_lost(error: ServerError) -> bool:
    """Return whether the connection has become useless."""
    return error.is_over or error.code.startswith(LOST)


def translate(error: ServerError, options: PostgreSQLOptions) -> EngineError:
    """Return poolq's error for a server's error. Its text is one line, with advice."""
    what = f"{options.redacted_url}: {str(error) or 'the connection is closed'}"
    if error.code == NO_RIGHT or (not error.was_sent and "permission denied" in what):
        return RightMissing(f"{what}; {missing_grant(error, options)}")
    for kind, codes, advice in _ADVICE:
        if error.code in codes:
            return kind(what + advice.format(sql=own_command("db sql")))
    if not is_lost(error):
        return EngineError(f"{what} ({error.code})")
    if error.was_sent and error.code != READ_ONLY:
        return EngineUnavailable(what, maybe_stored=True)
    for refused, pattern, advice in _REFUSALS:
        if re.search(pattern, str(error)):
            return refused(what + advice.format(database=options.parameters["dbname"]))
    return EngineUnavailable(what)
