"""The engine on PostgreSQL, through psycopg's access to libpq."""

import time

from poolq.engines.base import Check, Queues, ServerInfo, Totals
from poolq.engines.connections import Connections
from poolq.engines.postgresql.checks import check_pool, checks, server
from poolq.engines.postgresql.connecting import connect
from poolq.engines.postgresql.dialect import DIALECT
from poolq.engines.postgresql.faults import translate
from poolq.engines.postgresql.folding import Folding
from poolq.engines.postgresql.options import parse_url
from poolq.engines.postgresql.schema import PostgreSQLSchema
from poolq.engines.postgresql.session import ANNOUNCE_INTERVAL, TELL, PostgreSQLSession
from poolq.engines.postgresql.statements import Statements
from poolq.engines.postgresql.wire import ServerError
from poolq.engines.schema_version import check_version
from poolq.engines.sql.engine import SQLEngine
from poolq.engines.sql.queues.wakeups import take_wakeup
from poolq.engines.sql.schema import check_namespace
from poolq.engines.sql.session import Dialect, Query, RenderedSQL, TemplateToken
from poolq.engines.sql.within import UserSQL
from poolq.errors import EngineUnavailable

#: A waiter looks again after POLL_INTERVAL seconds, if jobs may have been stored before others knew
#: that it waits, or if others have taken the wake-up of jobs that are still there. But it pauses
#: for at least POLL_COST_FACTOR times as long as a look takes.
POLL_INTERVAL = 0.05
POLL_COST_FACTOR = 50
#: Seconds after which a claim scans a queue from its head again.
CURSOR_LIFETIME = 0.1
#: The share of the time in which claims and waiters look from the heads of queues, past the jobs
#: that were done since somebody has opened a snapshot.
LOOK_SHARE = 1 / 50
SCHEMA_NAME = "SELECT relnamespace::regnamespace::text FROM pg_class WHERE oid = to_regclass(?)"


class PostgreSQLEngine(SQLEngine):
    """`postgresql://user:password@host:5432/database?schema=…&sslmode=…`. `_lost_names`: the names
    of lost connections, which the next connect ends."""

    exact_counts = PostgreSQLSession.counted
    user_sql = UserSQL("postgresql", tell=TELL)

    def __init__(self, url: str, namespace: str) -> None:
        check_namespace(namespace)
        self.options = parse_url(url)
        super().__init__(
            url, namespace, self.options.redacted_url, DIALECT, CURSOR_LIFETIME, LOOK_SHARE
        )
        self.texts = _texts(DIALECT, namespace)
        self._statements = Statements(self.texts)
        self._lost_names: list[str] = []
        self._folding = Folding()
        self._qualified: RenderedSQL | None = None
        self.schema: PostgreSQLSchema = PostgreSQLSchema(
            self._open, self.texts, namespace, self.options
        )
        self._connections = Connections(self._connect, PostgreSQLSession.close, self._alive)

    def _open(self) -> PostgreSQLSession:
        """Open a connection without looking at the tables."""
        lost = self._lost_names[:]
        if lost:  # the server may have been restored, and number its rows as before
            self._folding = Folding()
        try:
            opened = connect(self.options, self.namespace, self._statements, lost)
        except ServerError as error:
            failed = translate(error, self.options)
            if isinstance(failed, EngineUnavailable):
                failed.maybe_stored = False
            raise failed from error
        for name in lost:
            if name in self._lost_names:
                self._lost_names.remove(name)
        mark_used = self._connections.mark_used
        return PostgreSQLSession(opened, self.options, self._statements, self._drop, mark_used)

    def _connect(self) -> PostgreSQLSession:
        session = self._open()
        try:
            check_version(self.schema.read(session), self.redacted_url)
        except BaseException as error:
            session.close()
            if isinstance(error, EngineUnavailable):
                error.maybe_stored = False
            raise
        return session

    def _alive(self, session: PostgreSQLSession) -> bool:
        alive = session.alive()
        if not alive:
            self._lost_names.append(session.name)
        return alive

    def _drop(self, session: PostgreSQLSession) -> None:
        self._lost_names.append(session.name)
        self._connections.drop()

    @property
    def session(self) -> PostgreSQLSession:
        session = self._connections.get()
        if session.busy or session.is_quiet() or session.alive():
            return session
        self._drop(session)
        return self._connections.get()

    def _user_texts(self) -> RenderedSQL:
        """Return statements that name the schema, whatever the `search_path` of a connection."""
        if self._qualified is None:
            (found,) = self.session.read(Query(SCHEMA_NAME, (self.texts["{schema}"],)))
            schema = found.rows[0][0]
            dialect = DIALECT._replace(quoted=TemplateToken(lambda name: f'{schema}."{name}"'))
            self._qualified = _texts(dialect, self.namespace)
        return self._qualified

    def wait(self, queues: Queues, timeout: float) -> int:
        end = time.monotonic() + timeout
        while True:
            began = time.monotonic()
            session = self.session
            is_new = session.announce()
            found, later, clock = self._load_due_states(queues)
            jobs, next_due = take_wakeup(session, found, later, self._woken)
            if jobs:
                return jobs
            now = time.monotonic()
            if now >= end:
                return 0
            is_due = any(one.is_due for one in found)
            pause = POLL_INTERVAL if is_new or is_due else ANNOUNCE_INTERVAL
            rest = end - now
            if next_due is not None:
                rest = min(rest, max(0.001, (next_due - clock) / 1e6))
            session.hear(min(rest, max(pause, POLL_COST_FACTOR * (now - began))))

    def beat(self, node: str, info: bytes) -> dict[str, int]:
        self._folding.fold(self.session)
        return super().beat(node, info)

    def sweep(self, idle: int) -> bool:
        self._folding.fold(self.session)
        return super().sweep(idle)

    def totals(self) -> Totals:
        self._folding.fold(self.session)
        return super().totals()

    def prepare(self, processes: int = 0) -> list[str]:
        check_pool(self.session, self.options, processes)
        return []

    def server(self) -> ServerInfo:
        return server(self.session)

    def doctor(self) -> list[Check]:
        return checks(self.session, self.schema)

    def close(self) -> None:
        self._connections.drop()


def _texts(dialect: Dialect, namespace: str) -> RenderedSQL:
    """Return templates that may name the sequence `waiting` and the channel of notifications, whose
    name has at most 63 bytes."""
    texts = RenderedSQL(dialect, namespace)
    channel = texts.tokens["channel"] = f"{namespace}_waiting"
    texts.tokens["waiting"] = f"{dialect.quoted:{channel}}"
    return texts
