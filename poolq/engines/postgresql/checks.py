"""The checks of `poolq doctor` for a PostgreSQL server."""

from collections.abc import Callable
from contextlib import closing

from poolq.engines.base import Check, ServerInfo
from poolq.engines.postgresql.schema import PostgreSQLSchema
from poolq.engines.postgresql.session import PostgreSQLSession
from poolq.engines.sql import unique_keys
from poolq.engines.sql.servers import clock_check
from poolq.engines.sql.session import Query, QueryResult
from poolq.errors import ConfigError, EngineUnavailable

SETTINGS = """SELECT name, setting FROM pg_settings WHERE name IN ('fsync', 'synchronous_commit',
    'server_version', 'autovacuum', 'autovacuum_naptime', 'synchronous_standby_names')"""
#: How many connections this role may open now, and the one that asks. Of others' connections, it
#: sees only whose they are.
CONNECTIONS_LEFT = """SELECT 1 + LEAST(
    (SELECT SUM(CASE name WHEN 'max_connections' THEN setting::int ELSE -setting::int END)
        FROM pg_settings WHERE name IN ('max_connections', 'superuser_reserved_connections',
        'reserved_connections')) - COUNT(*),
    (SELECT NULLIF(rolconnlimit, -1) FROM pg_roles WHERE rolname = current_user)
        - COUNT(*) FILTER (WHERE usename = current_user),
    (SELECT NULLIF(datconnlimit, -1) FROM pg_database WHERE datname = current_database())
        - COUNT(*) FILTER (WHERE datname = current_database()))
    FROM pg_stat_activity WHERE datid IS NOT NULL AND usesysid IS NOT NULL"""
#: Connections of a pool's keeper.
KEEPER_CONNECTIONS = 3
READ_PID = Query("SELECT pg_backend_pid()")
CLOCK_AND_ROLE = "SELECT {now}, pg_is_in_recovery(), COUNT(*) FROM pg_stat_replication"
#: Who holds the oldest snapshot, for how many seconds if that is known, and how many transactions
#: have begun since then.
OLDEST_SNAPSHOT = """SELECT what, seconds, age(held) FROM (
    SELECT concat('session ', pid, ' (', application_name, ', ', state, ')') AS what,
        extract(epoch FROM clock_timestamp() - xact_start)::bigint AS seconds, backend_xmin AS held
        FROM pg_stat_activity WHERE pid <> pg_backend_pid()
    UNION ALL SELECT concat('replication slot ', slot_name, CASE WHEN NOT active THEN
        ' (forgotten?)' END), NULL, xmin FROM pg_replication_slots
    UNION ALL SELECT 'standby ' || application_name, NULL, backend_xmin FROM pg_stat_replication
    UNION ALL SELECT 'prepared transaction ' || gid,
        extract(epoch FROM clock_timestamp() - prepared)::bigint, transaction FROM pg_prepared_xacts
    ) holders WHERE held IS NOT NULL ORDER BY age(held) DESC LIMIT 1"""
DEAD_ROWS = """SELECT n_dead_tup, n_live_tup FROM pg_stat_all_tables
    WHERE relid = to_regclass('{jobs}')"""
#: A snapshot is reported if it is older than this many seconds, or than this many transactions.
OLD_SECONDS, OLD_TRANSACTIONS = 300, 1_000_000
#: How many connections should be left, how many dead rows are few, and after how many seconds
#: autovacuum should look again at tables that have more.
FEW_CONNECTIONS, FEW_DEAD_ROWS, SHORT_NAPTIME = 20, 100_000, 15


def checks(session: PostgreSQLSession, schema: PostgreSQLSchema, shared: bool) -> list[Check]:
    settings, state, oldest, dead, left = session.read(
        *map(Query, (SETTINGS, CLOCK_AND_ROLE, OLDEST_SNAPSHOT, DEAD_ROWS, CONNECTIONS_LEFT))
    )
    found: dict[str, str] = dict(settings.rows)
    now, is_standby, standbys = state.rows[0]
    return [
        Check("version", "ok", f"PostgreSQL {found['server_version']}"),
        schema.check(),
        *unique_keys.checks(session),
        _durability(found),
        _replication(found, standbys),
        _primary(is_standby),
        _autovacuum(found, dead),
        _snapshot(oldest),
        _dead_rows(dead),
        _connections(session, left.rows[0][0], shared),
        clock_check(now),
    ]


def is_shared(session: PostgreSQLSession, connect: Callable[[], PostgreSQLSession]) -> bool:
    """Return whether a pooler may use another session of the server for each transaction, also if
    the URL says that it does not. Then a new connection gets the session that another one has just
    used. While it has that one, the other gets another. Clients that come in between can hide it,
    but hardly five times."""
    if not session.options.is_session:
        return session.wire.is_shared
    with closing(connect()) as one, closing(connect()) as other:
        one.wire.is_shared = other.wire.is_shared = True  # prepare nothing
        first = one.read(READ_PID)
        return any(
            other.transact(lambda tx: tx.run(READ_PID) == first or one.read(READ_PID) != first)
            for _ in range(5)
        )


def check_pool(session: PostgreSQLSession, shared: bool, processes: int) -> None:
    """Raise ConfigError if a pool cannot work on these connections, or EngineUnavailable if there
    are too few for this many workers."""
    if shared:
        raise ConfigError(
            f"{session.redacted_url} is a pooler that may use another connection for each"
            " transaction; a pool needs its own: name the server itself, or let the pooler have"
            " pool_mode = session and the URL ?pooler=session"
        )
    (found,) = session.read(Query(CONNECTIONS_LEFT))
    left, needed = found.rows[0][0], processes + KEEPER_CONNECTIONS
    if left < needed:
        raise EngineUnavailable(
            f"{session.redacted_url}: {left} connections are left, and this pool needs {needed};"
            " raise max_connections or the CONNECTION LIMIT of the role, or run fewer workers"
        )


def bloat(session: PostgreSQLSession) -> str:
    oldest, dead = session.read(Query(OLDEST_SNAPSHOT), Query(DEAD_ROWS))
    found = _snapshot(oldest)
    return found.text if found.level == _dead_rows(dead).level == "warn" else ""


def server(session: PostgreSQLSession) -> ServerInfo:
    (found,) = session.read(Query("SHOW server_version"))
    return ServerInfo(f"PostgreSQL {found.rows[0][0].split()[0]}")


def _durability(found: dict[str, str]) -> Check:
    if found["fsync"] == "off":
        return Check("durability", "bad", "fsync is off: a crash may destroy the database;"
                     " set it to on")  # fmt: skip
    setting = f"synchronous_commit is {found['synchronous_commit']}"
    if found["synchronous_commit"] == "off":
        return Check("durability", "warn", f"{setting}: a crash of the server loses the last"
                     " accepted jobs; set it to on")  # fmt: skip
    return Check("durability", "ok", f"{setting}: every commit waits for the disk")


def _replication(found: dict[str, str], standbys: int) -> Check:
    if not standbys:
        return Check("replication", "ok", "no standby: the jobs are as safe as this one server")
    if found["synchronous_standby_names"] and found["synchronous_commit"] not in ("off", "local"):
        return Check("replication", "ok", f"{standbys} standby(s), synchronous")
    return Check("replication", "ok", f"{standbys} standby(s), asynchronous: a failover may lose"
                 " the last jobs, unless synchronous_standby_names is set")  # fmt: skip


def _primary(is_standby: bool) -> Check:
    if not is_standby:
        return Check("primary", "ok", "this server accepts writes")
    return Check("primary", "bad", "this is a standby; use the primary")


def _autovacuum(found: dict[str, str], dead: QueryResult) -> Check:
    if found["autovacuum"] != "on":
        return Check("autovacuum", "bad", "autovacuum is off: the tables grow without end; set it"
                     " to on")  # fmt: skip
    seconds = int(found["autovacuum_naptime"])
    if seconds > SHORT_NAPTIME and dead.rows and dead.rows[0][0] > FEW_DEAD_ROWS:
        return Check("autovacuum", "warn", f"it looks for dead rows every {seconds} s only, so busy"
                     " tables grow; set autovacuum_naptime to 5s")  # fmt: skip
    return Check("autovacuum", "ok", f"it looks for dead rows every {seconds} s")


def _snapshot(found: QueryResult) -> Check:
    """PostgreSQL keeps all rows that were deleted since the oldest snapshot."""
    if not found.rows:
        return Check("snapshot", "ok", "nobody holds one")
    what, seconds, transactions = found.rows[0]
    age = f"for {seconds} s" if seconds is not None else f"over {transactions} transactions"
    is_old = transactions > OLD_TRANSACTIONS if seconds is None else seconds > OLD_SECONDS
    if not is_old:
        return Check("snapshot", "ok", f"the oldest is held {age}")
    return Check("snapshot", "warn", f"{what} holds a snapshot {age}: done jobs stay in the tables"
                 " until it is closed")  # fmt: skip


def _dead_rows(found: QueryResult) -> Check:
    dead, live = found.rows[0] if found.rows else (0, 0)
    text = f"the table of jobs has {live} rows and {dead} dead ones"
    level = "ok" if dead < FEW_DEAD_ROWS + 3 * live else "warn"
    return Check("dead rows", level, text)


def _connections(session: PostgreSQLSession, left: int, shared: bool) -> Check:
    if shared and session.options.is_session:
        return Check("pooler", "bad", "it is in transaction mode, although the URL says"
                     " ?pooler=session; set pool_mode = session, or leave that out")  # fmt: skip
    if shared:
        return Check("pooler", "warn", "a pooler may use another connection for each transaction:"
                     " producers work, pools do not")  # fmt: skip
    level = "ok" if left >= FEW_CONNECTIONS else "warn"
    advice = "" if level == "ok" else "; raise max_connections, or run fewer processes"
    return Check("connections", level, f"{left} are left; a pool needs one for each worker, and"
                 f" {KEEPER_CONNECTIONS} more{advice}")  # fmt: skip
