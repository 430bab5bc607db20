"""The checks of `poolq doctor` for a PostgreSQL server."""

from collections.abc import Callable
from contextlib import closing

from poolq.engines.base import Check, ServerInfo
from poolq.engines.postgresql.schema import PostgreSQLSchema
from poolq.engines.postgresql.session import PostgreSQLSession
from poolq.engines.sql import effects
from poolq.engines.sql.servers import clock_check
from poolq.engines.sql.session import Query, QueryResult
from poolq.errors import ConfigError, EngineUnavailable

SETTINGS = """SELECT name, setting FROM pg_settings WHERE name IN ('fsync', 'synchronous_commit',
    'server_version', 'autovacuum', 'autovacuum_naptime', 'synchronous_standby_names')"""
#: How many connections the role that has logged in may open now, and the one that asks. Of others'
#: connections, it sees only whose they are.
CONNECTIONS_LEFT = """SELECT 1 + LEAST(
    (SELECT SUM(CASE name WHEN 'max_connections' THEN setting::int ELSE -setting::int END)
        FROM pg_settings WHERE name IN ('max_connections', 'superuser_reserved_connections',
        'reserved_connections')) - COUNT(*),
    (SELECT NULLIF(rolconnlimit, -1) FROM pg_roles WHERE rolname = session_user)
        - COUNT(*) FILTER (WHERE usename = session_user),
    (SELECT NULLIF(datconnlimit, -1) FROM pg_database WHERE datname = current_database())
        - COUNT(*) FILTER (WHERE datname = current_database()))
    FROM pg_stat_activity WHERE datid IS NOT NULL AND usesysid IS NOT NULL"""
KEEPER_CONNECTIONS = 3  # of a pool's keeper
READ_PID = Query("SELECT pg_backend_pid()")
CLOCK_AND_ROLE = "SELECT {now}, pg_is_in_recovery(), COUNT(*) FROM pg_stat_replication"
#: Who holds back vacuum in this database, for how many seconds if known, and how many transactions
#: have begun since then. Whoever writes, in any database, makes each snapshot as old, and is named
#: before those. VACUUM and what others read elsewhere do not count, but each slot and standby does.
OLDEST_SNAPSHOT = """SELECT what, extract(epoch FROM clock_timestamp() - since)::bigint, held FROM (
    SELECT CASE WHEN datid IS NULL THEN 'standby ' || application_name ELSE concat('session ', pid,
        ' of ' || usename, ' in database ' || NULLIF(datname, current_database()), ' (',
        concat_ws(', ', NULLIF(application_name, ''), COALESCE(state,
            'state and time are hidden: GRANT pg_read_all_stats TO ' || quote_ident(current_user))),
        ')') END AS what, xact_start AS since, age(backend_xid) AS own, GREATEST(age(backend_xid),
        CASE WHEN datname = current_database() OR pid IN (SELECT pid FROM pg_stat_replication)
            THEN age(backend_xmin) END) AS held FROM pg_stat_activity
        WHERE pid NOT IN (SELECT pg_backend_pid() UNION SELECT pid FROM pg_stat_progress_vacuum)
    UNION ALL SELECT concat('replication slot ', slot_name, CASE WHEN NOT active THEN
        ' (forgotten?)' END), NULL, NULL, age(xmin) FROM pg_replication_slots
    UNION ALL SELECT concat('prepared transaction ', gid, ' in database ' || NULLIF(database,
        current_database())), prepared, age(transaction), age(transaction) FROM pg_prepared_xacts
    ) holders WHERE held IS NOT NULL ORDER BY held DESC, own DESC NULLS LAST, since LIMIT 1"""
DEAD_ROWS = """SELECT n_dead_tup, n_live_tup FROM pg_stat_all_tables
    WHERE relid = to_regclass('{jobs}')"""
#: doctor warns of a snapshot that is older than this many seconds, or than this many transactions.
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
        *effects.checks(session),
        Check("durability", *_durability(found)),
        _replication(found, standbys),
        Check("primary", "bad", "this is a standby; use the primary")
        if is_standby
        else Check("primary", "ok", "this server accepts writes"),
        _autovacuum(found, dead),
        _snapshot(oldest),
        _dead_rows(dead),
        _connections(session, left.rows[0][0], shared),
        clock_check(now),
    ]


def is_shared(session: PostgreSQLSession, connect: Callable[[], PostgreSQLSession]) -> bool:
    """Return whether a pooler may use another session of the server for each transaction, whatever
    the URL says. Then a new connection gets the session that another has just used, and the other
    gets another one meanwhile. Clients that come in between can hide it, but hardly five times."""
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
    url = session.options.redacted_url
    if shared:
        raise ConfigError(
            f"{url} is a pooler that may use another connection for each"
            " transaction; a pool needs its own: name the server itself, or let the pooler have"
            " pool_mode = session and the URL ?pooler=session"
        )
    (found,) = session.read(Query(CONNECTIONS_LEFT))
    left, needed = found.rows[0][0], processes + KEEPER_CONNECTIONS
    if left < needed:
        raise EngineUnavailable(
            f"{url}: {left} connections are left, and this pool needs {needed};"
            " raise max_connections or the CONNECTION LIMIT of the role, or run fewer workers"
        )


def bloat(session: PostgreSQLSession) -> str:
    oldest, dead = session.read(Query(OLDEST_SNAPSHOT), Query(DEAD_ROWS))
    found = _snapshot(oldest)
    return found.text if found.level == _dead_rows(dead).level == "warn" else ""


def server(session: PostgreSQLSession) -> ServerInfo:
    (found,) = session.read(Query("SHOW server_version"))
    return ServerInfo(f"PostgreSQL {found.rows[0][0].split()[0]}")


def _durability(found: dict[str, str]) -> tuple[str, str]:
    if found["fsync"] == "off":
        return "bad", "fsync is off: a crash may destroy the database; set it to on"
    setting = f"synchronous_commit is {found['synchronous_commit']}"
    if found["synchronous_commit"] == "off":
        return "warn", f"{setting}: a crash of the server loses the last jobs; set it to on"
    return "ok", f"{setting}: every commit waits for the disk"


def _replication(found: dict[str, str], standbys: int) -> Check:
    if not standbys:
        return Check("replication", "ok", "no standby: the jobs are as safe as this one server")
    how = "asynchronous: a failover may lose the last jobs, unless synchronous_standby_names is set"
    if found["synchronous_standby_names"] and found["synchronous_commit"] not in ("off", "local"):
        how = "synchronous"
    return Check("replication", "ok", f"{standbys} standby(s), {how}")


def _autovacuum(found: dict[str, str], dead: QueryResult) -> Check:
    if found["autovacuum"] != "on":
        return Check("autovacuum", "bad", "it is off: the tables grow without end; set it to on")
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
    text = f"{what} holds one over {transactions} transactions"
    text += "" if seconds is None else f", for {seconds} s"
    if transactions <= OLD_TRANSACTIONS and (seconds or 0) <= OLD_SECONDS:
        return Check("snapshot", "ok", text)
    return Check("snapshot", "warn", f"{text}: done jobs stay in the tables until it is closed")


def _dead_rows(found: QueryResult) -> Check:
    dead, live = found.rows[0] if found.rows else (0, 0)
    many = FEW_DEAD_ROWS + 3 * live
    text = f"the table of jobs has {live} rows and {dead} dead ones (many: {many}); vacuum removes"
    return Check("dead rows", "ok" if dead < many else "warn", f"{text} what no snapshot needs")


def _connections(session: PostgreSQLSession, left: int, shared: bool) -> Check:
    if shared and session.options.is_session:
        return Check("pooler", "bad", "not in session mode: set that, or leave out ?pooler=session")
    if shared:
        return Check("pooler", "warn", "it shares connections: producers work, pools do not")
    level = "ok" if left >= FEW_CONNECTIONS else "warn"
    advice = "; raise max_connections or the CONNECTION LIMIT of the role, or run fewer processes"
    return Check("connections", level, f"{left} are left; a pool needs one for each worker, and"
                 f" {KEEPER_CONNECTIONS} more{advice * (level == 'warn')}")  # fmt: skip
