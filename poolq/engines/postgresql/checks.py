"""The checks of `poolq doctor` for a PostgreSQL server."""

import time

from poolq.engines.base import Check, ServerInfo
from poolq.engines.postgresql.schema import PostgreSQLSchema
from poolq.engines.postgresql.session import PostgreSQLSession
from poolq.engines.sql import unique_keys
from poolq.engines.sql.session import Query
from poolq.errors import ConfigError

MIN_VERSION = 150_000
#: Seconds by which the server's clock may differ from this host's without a warning.
MAX_CLOCK_DIFFERENCE = 1.0

SETTINGS = """SELECT name, setting FROM pg_settings WHERE name IN ('fsync', 'synchronous_commit',
    'full_page_writes', 'server_version', 'server_version_num', 'transaction_isolation',
    'autovacuum')"""
CLOCK_AND_ROLE = "SELECT {now}, pg_is_in_recovery()"


#: What `refuse` must know. Relatives of PostgreSQL name themselves in `version()`.
IDENTITY = """SELECT version(), current_setting('server_version_num')::int, pg_is_in_recovery(),
    current_setting('server_encoding'), pg_backend_pid()"""
RELATIVES = ("cockroach", "-yb-", "yugabyte", "greenplum", "redshift")


def refuse(session: PostgreSQLSession, redacted_url: str) -> None:
    """Raise ConfigError if no pool can work with this server."""
    ((text, number, is_standby, encoding, pid),) = session.read(Query(IDENTITY))[0].rows
    problem = ""
    if any(name in text.lower() for name in RELATIVES) or not text.startswith("PostgreSQL "):
        problem = f"this is {text.split(',')[0]}; poolq needs PostgreSQL itself"
    elif number < MIN_VERSION:
        problem = f"this is PostgreSQL {number // 10_000}; poolq needs {MIN_VERSION // 10_000}"
    elif is_standby:
        problem = "this is a standby; use the primary"
    elif encoding != "UTF8":
        problem = f"the encoding of the database is {encoding}; create one with ENCODING 'UTF8'"
    elif pid != session.wire.raw.backend_pid and not session.options.is_session:
        problem = (
            "a pooler is between poolq and the server; pools need a session of their own: connect"
            " to the server, or to a pool in session mode and add ?pooler=session"
        )
    if problem:
        raise ConfigError(f"{redacted_url}: {problem}")


def checks(session: PostgreSQLSession, schema: PostgreSQLSchema) -> list[Check]:
    settings, state = session.read(Query(SETTINGS), Query(CLOCK_AND_ROLE))
    found: dict[str, str] = dict(settings.rows)
    now, is_standby = state.rows[0]
    return [
        _version(found),
        schema.check(),
        *unique_keys.checks(session),
        _durability(found),
        _writable(is_standby),
        _autovacuum(found),
        _clock(now / 1e6 - time.time()),
    ]


def server(session: PostgreSQLSession) -> ServerInfo:
    (found,) = session.read(Query("SHOW server_version"))
    return ServerInfo(f"PostgreSQL {found.rows[0][0].split()[0]}")


def _version(found: dict[str, str]) -> Check:
    text = f"PostgreSQL {found['server_version']}"
    if int(found["server_version_num"]) >= MIN_VERSION:
        return Check("version", "ok", text)
    return Check("version", "bad", f"{text}; poolq needs {MIN_VERSION // 10_000}")


def _durability(found: dict[str, str]) -> Check:
    if found["fsync"] == "off":
        return Check("durability", "warn", "fsync is off: a crash may destroy the database;"
                     " set it to on")  # fmt: skip
    setting = f"synchronous_commit is {found['synchronous_commit']}"
    if found["synchronous_commit"] == "off":
        return Check("durability", "warn", f"{setting}: a crash of the server loses the last"
                     " accepted jobs; set it to on")  # fmt: skip
    return Check("durability", "ok", f"{setting}: every commit waits for the disk")


def _writable(is_standby: bool) -> Check:
    if not is_standby:
        return Check("writable", "ok", "this server accepts writes")
    return Check("writable", "bad", "this is a standby; use the primary")


def _autovacuum(found: dict[str, str]) -> Check:
    if found["autovacuum"] == "on":
        return Check("autovacuum", "ok", "autovacuum is on")
    return Check("autovacuum", "bad", "autovacuum is off: the tables grow without end; set it"
                 " to on")  # fmt: skip


def _clock(ahead: float) -> Check:
    if abs(ahead) < MAX_CLOCK_DIFFERENCE:
        return Check("clock", "ok", "agrees with this host's within a second")
    direction = "ahead of" if ahead > 0 else "behind"
    return Check("clock", "warn", f"{abs(ahead):.1f} s {direction} this host's; jobs are due by the"
                 " server's clock")  # fmt: skip
