"""A thread's connection to the server. It sends all statements of a round trip in one pipeline.

Statements between two ends of a pipeline are one transaction. So BEGIN and COMMIT are only sent if
a transaction takes several round trips.
"""

import re
import time
from collections.abc import Callable, Sequence
from math import inf

from psycopg import pq

from poolq.engines.postgresql.connecting import OpenedConnection
from poolq.engines.postgresql.faults import can_retry, is_lost, translate
from poolq.engines.postgresql.options import PostgreSQLOptions
from poolq.engines.postgresql.statements import Expression
from poolq.engines.postgresql.wake_tokens import UNSYNCED
from poolq.engines.postgresql.wire import ServerError
from poolq.engines.sql.location import DELAYED
from poolq.engines.sql.new_jobs import INSERT_PLAIN
from poolq.engines.sql.server_sessions import (
    Faults,
    ServerSession,
    ServerTransaction,
    results_by_query,
)
from poolq.engines.sql.session import BatchQuery, Query, QueryResult, Row
from poolq.jobs.message import Push

BEGIN, COMMIT, ROLLBACK = Query("BEGIN"), Query("COMMIT"), Query("ROLLBACK")
MARK_CLAIMED = """UPDATE {jobs} SET place = ?, request = ?, taken = {now},
    admitted = CASE WHEN lasts > ? THEN 1 ELSE 0 END, idx = ? + array_position(?, id)
    WHERE id {in_list}"""
#: How often a waiter announces that it waits, and for how long at least, in seconds.
ANNOUNCE_INTERVAL, ANNOUNCED = 1.0, 1.5
#: The sequence `waiting` has until when somebody waits, in whole seconds, without old versions. As
#: all commits that notify stand in line, nobody is told anything while nobody waits.
_NOW = "extract(epoch FROM clock_timestamp())"
TELL = f"SELECT pg_notify('{{namespace}}_waiting', ?) FROM {{waiting}} WHERE last_value > {_NOW}"
#: The same, as an empty text. RETURNING would give the application's layer a row to read, and a
#: query takes a tenth longer where no statement is prepared, as by Django. It may be silent without
#: the right to the sequence, for which READ_ID has asked, or TELL when the queue became known.
TELLING = f"""CASE WHEN pg_sequence_last_value($of${{waiting}}$of$) > {_NOW}
    THEN pg_notify('{{namespace}}_waiting', ?)::text ELSE '' END"""
INSERT_TELLING = INSERT_PLAIN.replace("?, ?, ?,", f"?, {TELLING}, {{now}},")
LISTEN = 'LISTEN "{namespace}_waiting"'
ANNOUNCE = f"SELECT setval('{{waiting}}', ceil({_NOW} + {ANNOUNCED})::bigint)"


class PostgreSQLSession(ServerSession[ServerError]):
    """See the module's head."""

    faults = Faults(ServerError, can_retry, is_lost, translate)
    skips = True
    stored_bytes = 4 << 20

    def __init__(
        self,
        opened: OpenedConnection,
        options: PostgreSQLOptions,
        on_lost: Callable[[ServerSession[ServerError]], None],
        on_used: Callable[[], None],
    ) -> None:
        self.wire, _, self.statements, self.beginning = opened
        super().__init__(opened.name, options, self.wire.raw.socket, on_lost, on_used)
        self._announced_at = -inf

    def store_one(self, push: Push) -> bool:
        """Store a job without options in the database, which takes a fifth less than otherwise."""
        options = push.delay > 0 or push.at or push.expires or push.unique or push.gate
        if options or push.queue not in self.known_queues:
            return False
        self.read(Query(INSERT_TELLING, (push.id, push.queue, push.queue, push.body)))
        return True

    def announce(self) -> bool:
        """Listen, and announce that somebody waits. Returns whether nobody was told before, so that
        jobs may just have been stored without a notification."""
        now = time.monotonic()
        since = now - self._announced_at
        if since >= ANNOUNCE_INTERVAL:
            first = [Query(LISTEN)] if self._announced_at == -inf else []
            self.read(*first, Query(ANNOUNCE))
            self._announced_at = now
        return since >= ANNOUNCED

    def hear(self, timeout: float) -> set[str]:
        """Wait for a notification for at most so many seconds. Returns the queues that it names."""
        return self.retry(lambda: self.wire.hear(timeout))

    def ping(self) -> None:
        self.wire.exchange()

    def close(self) -> None:
        self.wire.close()

    def begin(self) -> "PostgreSQLTransaction":
        return PostgreSQLTransaction(self)

    def read(self, *queries: Query) -> list[QueryResult]:
        if not queries:
            return []
        return self.retry(lambda: self.send_first(queries))

    def estimate(self, queries: Sequence[Query]) -> list[int]:
        """Return the planner's estimates, which cost a few index lookups."""
        plans = self.read(*(Query(f"EXPLAIN {one.sql}", one.args) for one in queries))
        found = [re.search(r"rows=(\d+)", plan.rows[0][0]) for plan in plans]
        return [int(one[1]) if one else 0 for one in found]

    def send_first(self, queries: Sequence[Query | BatchQuery]) -> list[QueryResult]:
        """Run the first queries of a transaction in one round trip, and no BEGIN."""
        return self.send([*self.beginning, *queries])[len(self.beginning) :]

    def send(self, queries: Sequence[Query | BatchQuery]) -> list[QueryResult]:
        """Run queries in one round trip."""
        bound = [self.statements.bind(query) for query in queries]
        found = self.wire.run([one for some in bound for one in some])
        self._on_used()
        return results_by_query(bound, map(self._read, found))

    def _read(self, result: pq.abc.PGresult) -> QueryResult:
        rows: Sequence[Row] = ()
        if result.ntuples:
            self.statements.transformer.set_pgresult(result)
            rows = self.statements.transformer.load_rows(0, result.ntuples, tuple)
        return QueryResult(rows, result.command_tuples or 0)


class PostgreSQLTransaction(ServerTransaction):
    appends = locks_tables = True
    marking = MARK_CLAIMED, 100

    def __init__(self, session: PostgreSQLSession) -> None:
        super().__init__()
        self._session = session

    def send(self, queries: Sequence[Query | BatchQuery]) -> list[QueryResult]:
        if not queries:
            return []
        first = [] if self.began else [BEGIN, *self._session.beginning]
        self.began = True
        return self._session.send([*first, *queries])[len(first) :]

    def last(self, query: Query) -> int:
        if self.began:
            return super().last(query)
        before, self.waiting = self.waiting, []
        return self._session.send_first([*before, query])[-1].changed

    def tell(self, queues: Sequence[str]) -> None:
        self.later(*(Query(TELL, (queue,)) for queue in queues))

    def unsynced(self) -> None:
        self.later(Query(UNSYNCED))

    def roll_back(self) -> None:
        self._session.send([ROLLBACK])

    def commit(self) -> None:
        ready = [*self.waiting, *self.ending]
        self.waiting, self.ending = [], []
        if self.began:
            self._session.send([*ready, COMMIT])
        elif ready:
            self._session.send_first(ready)

    def when(self, place: str, delay: int, at: int, expires: int) -> Row:
        texts = self._session.statements.texts
        where: str | Expression = place
        due = Expression(texts["{now}"])
        if at:
            where = Expression(texts["CASE WHEN ? > {now} THEN 'd' ELSE ? END"], (at, place))
            due = Expression(texts["GREATEST(?, {now})"], (at,))
        elif delay > 0:
            where, due = DELAYED, Expression(texts["{now} + ?"], (delay,))
        ends = Expression(f"{due.sql} + ?", (*due.args, expires)) if expires else None
        return where, due, ends
