"""A thread's connection to the server. It sends several statements per round trip, and retries."""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pymysql
from pymysql.constants import COMMAND

from poolq.engines.base import Push
from poolq.engines.mysql.faults import can_retry, is_lost, translate
from poolq.engines.mysql.literals import Expression, FormatSQL, literal, quoted
from poolq.engines.mysql.options import MySQLOptions
from poolq.engines.mysql.reconnecting import OpenedConnection, close
from poolq.engines.sql.location import DELAYED
from poolq.engines.sql.server_sessions import (
    Faults,
    ServerSession,
    ServerTransaction,
    results_by_query,
)
from poolq.engines.sql.session import BatchQuery, Query, QueryResult, Row
from poolq.errors import EngineError

#: Creates a named tuple in a quarter of the time that its constructor takes.
_new = tuple.__new__

MARK_CLAIMED = """UPDATE {jobs} SET place = ?, request = ?, admitted = lasts > ?, taken = {now},
    idx = ? + FIELD(id, ?) WHERE id {in_list}"""
#: A statement that inserts a row of arguments, and does nothing else.
INSERTS_A_ROW = re.compile(r"^INSERT [^?]* VALUES \(\?(, (\?|\{no_bytes\}))*\)$", re.DOTALL)
#: Bytes of statements sent at once; a longer statement is sent alone.
MAX_PACKET_BYTES = 1 << 20
PACKET_MARGIN_BYTES = 1024


class MySQLSession(ServerSession[pymysql.Error]):
    """See the module's head."""

    faults = Faults(pymysql.Error, can_retry, is_lost, translate)
    skips = False
    stored_bytes = MAX_PACKET_BYTES

    def __init__(
        self,
        opened: OpenedConnection,
        options: MySQLOptions,
        statements: FormatSQL,
        on_lost: Callable[[ServerSession[pymysql.Error]], None],
        on_used: Callable[[], None],
    ) -> None:
        self.raw, _, self.packet = opened
        socket = self.raw._sock  # type: ignore[attr-defined]  # noqa: SLF001  # no public way to it
        super().__init__(opened.name, options, socket.fileno(), on_lost, on_used)
        self._most = min(MAX_PACKET_BYTES, self.packet - PACKET_MARGIN_BYTES)
        self.statements = statements
        self.now = Expression(statements["{now}"])

    def ping(self) -> None:
        self.raw.ping(reconnect=False)

    def close(self) -> None:
        close(self.raw)

    def begin(self) -> "MySQLTransaction":
        return MySQLTransaction(self)

    def read(self, *queries: Query) -> list[QueryResult]:
        if not queries:
            return []
        return self.retry(lambda: self.send([self.statements.fill(*query) for query in queries]))

    def estimate(self, queries: Sequence[Query]) -> list[int]:
        """Return the optimizer's estimates, which cost a few index lookups."""
        explain = "EXPLAIN FORMAT=TRADITIONAL "
        plans = self.read(*(Query(explain + one.sql, one.args) for one in queries))
        at = {10: 8, 12: 9}  # where `rows` is among MariaDB's 10 columns, and MySQL's 12
        rows = [plan.rows[0] for plan in plans]
        return [int(row[at[len(row)]] or 0) if len(row) in at else 0 for row in rows]

    def check_sizes(self, pushes: Sequence[Push]) -> None:
        most = self.packet - 2 * PACKET_MARGIN_BYTES
        for one in pushes:
            if 2 * len(one.body) > most and len(quoted(one.body)) > most:
                raise EngineError(
                    f"job {one.id} has {len(one.body)} bytes, too many for"
                    f" {self.options.redacted_url} (max_allowed_packet is {self.packet}); raise"
                    " this setting, or send less"
                )

    def send(self, statements: Sequence[bytes]) -> list[QueryResult]:
        """Run statements in as few round trips as packets allow."""
        results: list[QueryResult] = []
        for batch in self._packets(statements):
            self._send(batch, results)
        self._on_used()
        return results

    def run(self, statements: Sequence[bytes]) -> None:
        """Run changes, whose answers say no more than that nothing has failed."""
        for batch in self._packets(statements):
            self._send(batch, None)
        self._on_used()

    def _packets(self, parts: Sequence[bytes]) -> Iterator[list[bytes]]:
        """Split statements, or the rows of an INSERT, into lists that are sent together."""
        batch: list[bytes] = []
        most, length = self._most, 0
        for one in parts:
            length += len(one) + 1
            if batch and length > most:
                yield batch
                batch, length = [], len(one) + 1
            batch.append(one)
        yield batch

    def statements_of(self, query: Query | BatchQuery) -> list[bytes]:
        """Return the statements of a query. If they only insert rows, they are merged into few."""
        if not isinstance(query, BatchQuery):
            return [self.statements.fill(*query)]
        rows = query.rows
        if len(rows) < 2 or not INSERTS_A_ROW.search(query.sql):
            return [self.statements.fill(query.sql, row) for row in rows]
        start, values = self.statements.fill_rows(query.sql, rows)
        return [start + b",".join(some) for some in self._packets(values)]

    def _send(self, batch: Sequence[bytes], results: list[QueryResult] | None) -> None:
        raw: Any = self.raw
        if results is None:  # `query` and `next_result` would take a tenth of a dispatch longer
            raw._execute_command(COMMAND.COM_QUERY, b";".join(batch))  # noqa: SLF001  # as below
            for _ in batch:
                raw._read_packet()  # noqa: SLF001  # raises the error of a statement
            return
        raw.query(b";".join(batch))
        while True:
            answer = raw._result  # noqa: SLF001  # a cursor would read it from there, and take 10 µs
            results.append(_new(QueryResult, (answer.rows or (), answer.affected_rows)))
            if not answer.has_next:
                return
            raw.next_result()


class MySQLTransaction(ServerTransaction):
    marking = MARK_CLAIMED, 50  # FIELD compares each id with all of its values

    def __init__(self, session: MySQLSession) -> None:
        super().__init__()
        self._session = session
        self._now = session.now

    def send(self, queries: Sequence[Query | BatchQuery], *last: bytes) -> list[QueryResult]:
        if not queries:
            return []
        groups = [self._session.statements_of(query) for query in queries]
        first = [] if self.began else [b"BEGIN"]
        self.began = True
        ready = [*first, *(one for group in groups for one in group), *last]
        return results_by_query(groups, self._session.send(ready)[len(first) :])

    def last(self, query: Query) -> int:
        queries, self.waiting = [*self.waiting, query], []
        if len(queries) == 1 and not self.began:  # it is a transaction of its own
            return self._session.send(self._session.statements_of(query))[0].changed
        results = self.send(queries, b"COMMIT")
        self.began = False
        return results[-1].changed

    def commit(self) -> None:
        ready: list[bytes] = []
        for query in (*self.waiting, *self.ending):
            ready += self._session.statements_of(query)
        if not self.began and len(ready) > 1:
            ready.insert(0, b"BEGIN")
            self.began = True
        if self.began:
            ready.append(b"COMMIT")
        if ready:
            self._session.run(ready)

    def roll_back(self) -> None:
        self._session.send([b"ROLLBACK"])

    def positions(self, ids: Sequence[str]) -> Expression:
        return Expression(b",".join(map(literal, ids)))

    def stop_clock(self) -> None:
        self.later(Query("SET @poolq_now = {now}"))
        self._now = Expression(b"@poolq_now")

    def when(self, place: str, delay: int, at: int, expires: int) -> Row:
        now = due = self._now
        where: str | Expression = place
        if at:
            where = Expression(b"IF(%d > %b, 'd', %b)" % (at, now, literal(place)))
            due = Expression(b"GREATEST(%d, %b)" % (at, now))
        elif delay > 0:
            where, due = DELAYED, Expression(b"%b + %d" % (now, delay))
        return where, due, Expression(b"%b + %d" % (due, expires)) if expires else None
