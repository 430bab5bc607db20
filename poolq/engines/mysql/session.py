"""A thread's connection to the server. It sends several statements per round trip, and retries."""

import select
import time
from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate, count
from operator import attrgetter
from random import random
from typing import Any, TypeVar

import pymysql
from pymysql.constants import COMMAND

from poolq.engines.base import Push
from poolq.engines.connections import reentrancy_error
from poolq.engines.mysql.faults import RETRYABLE, code, is_lost, translate
from poolq.engines.mysql.literals import BareList, SplitSQL, quoted
from poolq.engines.mysql.new_jobs import INSERT_JOBS, INSERT_KEYS, job_rows, key_rows
from poolq.engines.mysql.options import MySQLOptions
from poolq.engines.mysql.reconnecting import OpenedConnection, close
from poolq.engines.sql.queues.wakeups import ADD_QUEUE
from poolq.engines.sql.session import (
    BatchQuery,
    Query,
    QueryResult,
    Session,
    Transaction,
    first_chunk,
    in_chunks,
)
from poolq.errors import EngineError, EngineUnavailable

T = TypeVar("T")
_queue_of = attrgetter("queue")

MARK_CLAIMED = """UPDATE {jobs} SET place = ?, request = ?, admitted = lasts > ?, taken = {now},
    idx = ? + FIELD(id, ?) WHERE id IN {list}"""
#: How many jobs one statement claims; few, because FIELD compares each id with all of its values.
MAX_FIELD_VALUES = 50
#: How many jobs one statement stores at most.
CHUNK_JOBS = 5000
#: Bytes of statements sent at once; a longer statement is sent alone.
MAX_PACKET_BYTES = 1 << 20
PACKET_MARGIN_BYTES = 1024
#: Seconds of retries after which a transaction fails.
RETRY_TIMEOUT = 10.0


class MySQLSession(Session):
    """See the module's head. `on_lost` is called when the connection has become useless, `on_used`
    when the server has answered. `known_queues`: queues that certainly have rows."""

    counted = 10_000
    skips = False

    def __init__(
        self,
        opened: OpenedConnection,
        options: MySQLOptions,
        statements: SplitSQL,
        on_lost: Callable[["MySQLSession"], None],
        on_used: Callable[[], None],
    ) -> None:
        self.raw, self.name, self.packet = opened
        self.options = options
        self.statements = statements
        self.known_queues: set[str] = set()
        self.busy = False  # waiting for an answer, or within a transaction
        self._on_lost = on_lost
        self._on_used = on_used
        self._poll = select.poll()
        socket = self.raw._sock  # type: ignore[attr-defined]  # noqa: SLF001  # no public way to it
        self._poll.register(socket.fileno(), select.POLLIN)

    def is_quiet(self) -> bool:
        """Return False if the server has sent something unasked, such as the connection's end."""
        return not self._poll.poll(0)

    def alive(self) -> bool:
        if self.busy:
            return True
        self.busy = True
        try:
            self.raw.ping(reconnect=False)
        except (pymysql.Error, OSError):
            return False
        finally:
            self.busy = False
        return True

    def close(self) -> None:
        close(self.raw)

    def transact(self, work: Callable[[Transaction], T], gives_way: bool = False) -> T:  # noqa: ARG002  # writers do not wait in line here
        return self._retry(lambda: self._transact(work))

    def read(self, *queries: Query) -> list[QueryResult]:
        if not queries:
            return []
        return self._retry(lambda: self.send([self._fill(query) for query in queries]))

    def change(self, *queries: Query) -> int:
        if len(queries) == 1:  # it is a transaction of its own
            return self.read(*queries)[0].changed
        return self._retry(lambda: self._transact(lambda tx: tx.finish(queries)[-1].changed))

    def estimate(self, queries: Sequence[Query]) -> list[int]:
        """Return the optimizer's estimates, which cost a few index lookups."""
        explain = "EXPLAIN FORMAT=TRADITIONAL "
        plans = self.read(*(Query(explain + one.sql, one.args) for one in queries))
        at = {10: 8, 12: 9}  # where `rows` is among MariaDB's 10 columns, and MySQL's 12
        rows = [plan.rows[0] for plan in plans]
        return [int(row[at[len(row)]] or 0) if len(row) in at else 0 for row in rows]

    def add_queues(self, queues: set[str]) -> None:
        """Add rows for those of the queues that may have none, before jobs are stored there."""
        new = queues - self.known_queues
        if new:
            queries = [Query(ADD_QUEUE, (queue,)) for queue in sorted(new)]
            try:
                self.transact(lambda tx: tx.later(*queries))
            except EngineUnavailable as error:
                error.maybe_stored = False  # no job was sent
                raise
            self.known_queues |= new

    def store(self, pushes: Sequence[Push]) -> int:
        """See the contract. Raises EngineError for a job that is too big for the server."""
        limit = min(MAX_PACKET_BYTES, self.packet - PACKET_MARGIN_BYTES)
        some = first_chunk(pushes, CHUNK_JOBS, limit)
        self.add_queues(set(map(_queue_of, some)))
        statement, count = self.insert_statement(some, limit)
        (now,) = self.statements["{now}"]
        if not (keys := key_rows(some[:count], now)):
            self._retry(lambda: self.raw.query(statement))  # which fetches no result
            self._on_used()
            return count
        (insert_keys,) = self.statements[INSERT_KEYS]
        all_keys = insert_keys + b",".join(keys)
        if len(all_keys) + len(statement) > limit:
            return 0
        transaction = b"BEGIN", all_keys, statement, b"COMMIT"
        return count * self._retry(lambda: self._store_unique(transaction))

    def insert_statement(self, pushes: Sequence[Push], limit: int) -> tuple[bytes, int]:
        """Return a statement of about `limit` bytes that stores the first of these jobs, and how
        many it stores."""
        (insert,), (now,) = self.statements[INSERT_JOBS], self.statements["{now}"]
        rows = job_rows(pushes, now)
        if len(rows[0]) > self.packet - PACKET_MARGIN_BYTES:
            raise self._too_big(pushes[0])
        ends = list(accumulate(len(row) + 1 for row in rows))
        count = max(1, bisect_right(ends, limit))
        return insert + b",".join(rows[:count]), count

    def _store_unique(self, transaction: Sequence[bytes]) -> bool:
        raw: Any = self.raw
        try:
            raw._execute_command(COMMAND.COM_QUERY, b";".join(transaction))  # noqa: SLF001  # as below
            for _ in transaction:
                raw._read_packet()  # noqa: SLF001  # query() and next_result() take 15 % longer
        except pymysql.Error as error:
            if not is_lost(error):
                self.send([b"ROLLBACK"])
            if isinstance(error, pymysql.IntegrityError):
                return False
            raise
        self._on_used()
        return True

    def check_size(self, push: Push) -> None:
        if len(quoted(push.body)) > self.packet - 2 * PACKET_MARGIN_BYTES:
            raise self._too_big(push)

    def _too_big(self, push: Push) -> EngineError:
        return EngineError(
            f"job {push.id} has {len(push.body)} bytes, too many for {self.options.redacted_url}"
            f" (max_allowed_packet is {self.packet}); raise this setting, or send less"
        )

    def send(self, statements: Sequence[bytes]) -> list[QueryResult]:
        """Run statements in as few round trips as packets allow."""
        results: list[QueryResult] = []
        batch: list[bytes] = []
        length = 0
        for one in statements:
            if batch and length + len(one) > MAX_PACKET_BYTES:
                self._send(batch, results)
                batch, length = [], 0
            batch.append(one)
            length += len(one) + 1
        self._send(batch, results)
        self._on_used()
        return results

    def statements_of(self, query: Query | BatchQuery) -> list[bytes]:
        if isinstance(query, BatchQuery):
            return [self.statements.fill(query.sql, row) for row in query.rows]
        return [self._fill(query)]

    def _fill(self, query: Query) -> bytes:
        return self.statements.fill(query.sql, query.args)

    def _send(self, batch: Sequence[bytes], results: list[QueryResult]) -> None:
        cursor = self.raw.cursor()
        cursor.execute(b";".join(batch))  # type: ignore[call-overload]  # bytes may be sent, too
        results.append(QueryResult(cursor.fetchall(), cursor.rowcount))
        while cursor.nextset():
            results.append(QueryResult(cursor.fetchall(), cursor.rowcount))

    def _transact(self, work: Callable[["MySQLTransaction"], T]) -> T:
        tx = MySQLTransaction(self)
        try:
            result = work(tx)
            tx.commit()
        except Exception as error:
            if tx.began and not (isinstance(error, pymysql.Error) and is_lost(error)):
                self.send([b"ROLLBACK"])
            raise
        return result

    def _retry(self, act: Callable[[], T]) -> T:
        """Run `act`, and repeat it after a deadlock or a lock timeout. Raises EngineError in a
        signal handler that has interrupted another statement of this thread."""
        if self.busy:
            raise reentrancy_error(self.options.redacted_url)
        self.busy = True
        try:
            return self._retry_until_done(act)
        finally:
            self.busy = False

    def _retry_until_done(self, act: Callable[[], T]) -> T:
        end = 0.0
        while True:
            try:
                return act()
            except pymysql.Error as error:
                now = time.monotonic()
                end = end or now + RETRY_TIMEOUT
                if code(error) not in RETRYABLE or now > end:
                    if is_lost(error):
                        self._on_lost(self)
                    raise translate(error, self.options) from error
            except Exception:
                raise
            except BaseException:
                self._on_lost(self)  # interrupted, with an answer still to come
                raise
            time.sleep(0.02 * random())


class MySQLTransaction(Transaction):
    """A transaction that begins with the first statements sent and ends with the last."""

    def __init__(self, session: MySQLSession) -> None:
        super().__init__()
        self.began = False
        self._session = session

    def send(self, queries: Sequence[Query | BatchQuery]) -> list[QueryResult]:
        if not queries:
            return []
        return self._send(queries)

    def _send(self, queries: Sequence[Query | BatchQuery], *last: bytes) -> list[QueryResult]:
        groups = [self._session.statements_of(query) for query in queries]
        first = [] if self.began else [b"BEGIN"]
        self.began = True
        found = self._session.send([*first, *(one for group in groups for one in group), *last])
        at = len(first)
        results = []
        for group in groups:
            mine = found[at : at + len(group)]
            at += len(group)
            results.append(
                mine[0] if len(mine) == 1 else QueryResult((), sum(one.changed for one in mine))
            )
        return results

    def finish(self, queries: Sequence[Query]) -> list[QueryResult]:
        """Run these statements as the whole transaction, in one round trip."""
        results = self._send(queries, b"COMMIT")
        self.began = False
        return results

    def commit(self) -> None:
        """Send the collected changes and COMMIT in one round trip."""
        changes = [*self.waiting, *self.ending]
        ready = [one for query in changes for one in self._session.statements_of(query)]
        self.waiting, self.ending = [], []
        if not self.began and len(ready) > 1:
            ready.insert(0, b"BEGIN")
            self.began = True
        if self.began:
            ready.append(b"COMMIT")
        if ready:
            self._session.send(ready)

    def claim_updates(
        self, place: str, request: int, first: int, ids: Sequence[str], now: int
    ) -> list[Query | BatchQuery]:
        chunks = in_chunks(ids, MAX_FIELD_VALUES)
        return [
            Query(MARK_CLAIMED, (place, request, now, at - 1, BareList(some), list(some)))
            for at, some in zip(count(first, MAX_FIELD_VALUES), chunks, strict=False)
        ]
