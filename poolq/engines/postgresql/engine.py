"""The engine on PostgreSQL, through psycopg's access to libpq."""

import time
from collections.abc import Sequence

from poolq.engines.base import Check, Queues, ServerInfo, Totals
from poolq.engines.postgresql.checks import bloat, check_pool, checks, is_shared, server
from poolq.engines.postgresql.connecting import connect
from poolq.engines.postgresql.dialect import DIALECT, with_schema
from poolq.engines.postgresql.faults import translate
from poolq.engines.postgresql.options import parse_url
from poolq.engines.postgresql.rights import grant_within
from poolq.engines.postgresql.schema import PostgreSQLSchema
from poolq.engines.postgresql.session import ANNOUNCE_INTERVAL, TELLING, PostgreSQLSession
from poolq.engines.postgresql.wake_tokens import TAKE_TOLD
from poolq.engines.postgresql.wire import ServerError
from poolq.engines.sanitize import number
from poolq.engines.sql.job_counters import Folding
from poolq.engines.sql.queues.queue_discovery import QueueState
from poolq.engines.sql.servers import ServerEngine
from poolq.engines.sql.session import Query, RenderedSQL
from poolq.engines.sql.waiting import POLL_INTERVAL, Watch
from poolq.engines.sql.within import UserSQL

#: The share of the time in which claims and waiters look from the heads of queues, past the jobs
#: that were done since somebody has opened a snapshot.
LOOK_SHARE = 1 / 50


class PostgreSQLEngine(ServerEngine[PostgreSQLSession]):
    """`postgresql://user:password@host:5432/database?schema=…&sslmode=…`."""

    exact_counts = PostgreSQLSession.counted
    user_sql = UserSQL("postgresql", telling=TELLING, grant=grant_within)

    def __init__(self, url: str, namespace: str) -> None:
        self.options = parse_url(url)
        super().__init__(url, namespace, self.options.redacted_url, DIALECT, LOOK_SHARE)
        self._folding = Folding()
        self._qualified: RenderedSQL | None = None
        self._watch = Watch(self._cursors)
        self.schema: PostgreSQLSchema = PostgreSQLSchema(
            self._open, self.texts, namespace, self.options
        )

    def _open_session(self, lost: Sequence[str]) -> PostgreSQLSession:
        if lost:  # the server may have been restored, and number its rows as before
            self._folding = Folding()
        try:
            opened = connect(self.options, self.namespace, self.texts, lost)
        except ServerError as error:
            raise translate(error, self.options) from error
        return PostgreSQLSession(opened, self.options, self._drop, self._connections.mark_used)

    def _user_texts(self) -> RenderedSQL:
        """Return statements that name the schema, whatever the `search_path` of a connection."""
        if self._qualified is None:
            self._qualified = RenderedSQL(with_schema(self._load_store().schema), self.namespace)
        return self._qualified

    def _load_due_states(self, queues: Queues) -> tuple[list[QueueState], int | None, int]:
        session, watch = self.session, self._watch
        if session.announce():
            watch.begin()
        return watch.load(session, queues, self._woken)

    def _pause(self, queues: Queues, is_due: bool, rest: float, took: float) -> int:  # noqa: ARG002  # it is woken
        session, watch = self.session, self._watch
        longest = POLL_INTERVAL if is_due else ANNOUNCE_INTERVAL
        rest = min(rest, watch.look_at - time.monotonic(), longest)
        told = watch.hear(session.hear(max(0.001, rest)), queues)
        return self._take_told(*told) if told else 0

    def _take_told(self, queue: str, since: int) -> int:
        """Take the wake-up of a queue that has new jobs which are ready. Returns how many, or 0."""
        args = queue, since, queue, since, queue, queue
        (found,) = self.session.read(Query(TAKE_TOLD, args))
        if not found.rows:
            return 0
        self._woken.add(queue)
        return number(found.rows[0][0])

    def wake(self, queues: Queues) -> None:
        """Put back what this waiter may have taken, if it is one."""
        super().wake(queues or sorted({*self._watch.known, *self._woken}) or None)

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
        check_pool(self.session, is_shared(self.session, self._open), processes)
        return []

    def server(self) -> ServerInfo:
        return server(self.session)

    def bloat(self) -> str:
        return bloat(self.session)

    def doctor(self) -> list[Check]:
        return checks(self.session, self.schema, is_shared(self.session, self._open))
