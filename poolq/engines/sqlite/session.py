"""A thread's connection to the file. It is opened when needed, and runs statements one by one."""

import os
import sqlite3
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from itertools import count, repeat
from math import inf
from time import monotonic
from typing import TypeVar

import msgspec

from poolq.engines.base import Push
from poolq.engines.connections import reentrancy_error
from poolq.engines.sql.location import DELAYED, QUEUED
from poolq.engines.sql.new_jobs import INSERT_JOB, INSERT_PLAIN
from poolq.engines.sql.session import (
    BatchQuery,
    Query,
    QueryResult,
    RenderedSQL,
    Row,
    Session,
    Transaction,
)
from poolq.engines.sqlite import forks, unreadable_text
from poolq.engines.sqlite.connecting import connect
from poolq.engines.sqlite.faults import code, interrupted, is_busy, translate
from poolq.engines.sqlite.options import SQLiteOptions
from poolq.engines.sqlite.schema import SQLiteSchema
from poolq.engines.sqlite.watcher import Watcher
from poolq.engines.sqlite.write_lock import POLITE_WRITES, WriteLock, run_read
from poolq.errors import EngineError
from poolq.jobs import clock

T = TypeVar("T")

BEGIN = "BEGIN IMMEDIATE"
DATA_VERSION = "PRAGMA data_version"
MARK_CLAIMED = """UPDATE {jobs} SET place = ?, request = ?, idx = ?, admitted = lasts > ?, taken = ?
    WHERE id = ?"""
#: Stores a unique job and its key by one statement: it inserts into a view, whose trigger inserts
#: into both tables. It changes nothing if another job has the key. The view belongs to the
#: connection, so it is not part of the schema.
INSERT_UNIQUE = """INSERT OR ROLLBACK INTO new_unique
    (id, place, due_at, queue, body, effects, name, ends) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"""
MAKE_VIEW = """CREATE TEMP VIEW IF NOT EXISTS new_unique AS SELECT id, place, due_at, queue, body,
    effects, '' AS name, 0 AS ends FROM {jobs}"""
MAKE_TRIGGER = """CREATE TEMP TRIGGER IF NOT EXISTS store_new_unique INSTEAD OF INSERT ON new_unique
    BEGIN
    INSERT INTO {unique_keys} (name, id, ends) VALUES (NEW.name, NEW.id, NEW.ends);
    INSERT INTO {jobs} (id, place, due_at, queue, body, effects, history) VALUES
    (NEW.id, NEW.place, NEW.due_at, NEW.queue, NEW.body, NEW.effects, x'');
    END"""
#: Seconds after which the connection checks again that its file has not been replaced.
FILE_CHECK_INTERVAL = 1.0


class SQLiteTransaction(Transaction):
    """A transaction that runs each statement at once, because there are no round trips to save."""

    def __init__(self, raw: sqlite3.Connection, texts: RenderedSQL) -> None:
        super().__init__()
        self._raw = raw
        self._texts = texts
        self._now = 0  # the same for all new jobs, so that those due at once stay in order

    def send(self, queries: Sequence[Query | BatchQuery]) -> list[QueryResult]:
        return [run(self._raw, self._texts, query) for query in queries]

    def claim_updates(
        self, place: str, request: int, first: int, ids: Sequence[str], now: int
    ) -> list[Query | BatchQuery]:
        same = repeat(place), repeat(request), count(first), repeat(now), repeat(clock.now())
        return [BatchQuery(MARK_CLAIMED, list(zip(*same, ids, strict=False)))]

    def when(self, place: str, delay: int, at: int, expires: int) -> Row:
        self._now = self._now or clock.now()
        return when(self._now, place, delay, at, expires)


def when(now: int, place: str, delay: int, at: int, expires: int) -> Row:
    """See `Transaction.when`."""
    due = now
    if (delay or at) and (later := at or now + delay) > now:
        place, due = DELAYED, later
    return place, due, due + expires if expires else None


def run(raw: sqlite3.Connection, texts: RenderedSQL, query: Query | BatchQuery) -> QueryResult:
    sql, args = query
    text = texts[sql]
    if isinstance(query, BatchQuery):
        return QueryResult((), raw.executemany(text, query.rows).rowcount)
    if _has_list(sql):
        args = [
            msgspec.json.encode(arg).decode() if isinstance(arg, (list, tuple)) else arg
            for arg in args
        ]
    cursor = raw.execute(text, args)
    return QueryResult(cursor.fetchall(), cursor.rowcount)


def _roll_back(raw: sqlite3.Connection) -> None:
    with suppress(sqlite3.Error):  # the error that led here is the one to raise
        if raw.in_transaction:
            raw.execute("ROLLBACK")


@cache
def _has_list(template: str) -> bool:
    return "{in_list}" in template


class SQLiteSession(Session):
    """See the module's head."""

    counted = 100_000
    skips = True
    stored_bytes = 4 << 20

    def __init__(self, options: SQLiteOptions, texts: RenderedSQL, schema: SQLiteSchema) -> None:
        self.lock = threading.RLock()
        self.options = options
        self.texts = texts
        self.known_queues: set[str] = set()
        self._has_view = False  # whether the connection has the view that INSERT_UNIQUE needs
        self._schema = schema
        self._write_lock = WriteLock(options.file)
        self.exclusively = self._write_lock.exclusively
        self.watcher = Watcher(options.file)
        self._raw: sqlite3.Connection | None = None
        self._cursor: sqlite3.Cursor | None = None  # for single jobs
        self._checked_at = -inf
        self._identity: tuple[int, int] | None = None
        self._writing = False
        forks.register(self)

    def disconnect(self) -> None:
        """Close the connection. The next use opens it again."""
        raw, self._raw = self._raw, None
        cursor, self._cursor = self._cursor, None
        if cursor is not None:
            cursor.close()  # its statement would keep the file open
        if raw is not None:
            raw.close()
        self._write_lock.close()

    def interrupt(self) -> None:
        """Make the thread that uses the connection fail soon. Called by another thread."""
        self._write_lock.interrupt()
        raw = self._raw
        if raw is not None:
            with suppress(sqlite3.ProgrammingError):  # it was closed just now
                raw.interrupt()

    def close(self) -> None:
        """Close the connection for good."""
        with self.lock:  # a fork must not find it half closed
            self.disconnect()
        self.watcher.close()
        forks.unregister(self)

    def transact(self, work: Callable[[Transaction], T], gives_way: bool = False) -> T:
        return self._locked(lambda raw: self._transact(raw, work, gives_way))

    def read(self, *queries: Query) -> list[QueryResult]:
        return self._read(lambda raw: [run(raw, self.texts, query) for query in queries])

    def data_version(self) -> tuple[int, int]:
        """Return a value that changes if another connection writes, or if this one is reopened."""
        return self._read(lambda raw: (id(raw), raw.execute(DATA_VERSION).fetchone()[0]))

    def _read(self, act: Callable[[sqlite3.Connection], T]) -> T:
        return self._locked(lambda raw: run_read(lambda: act(raw), self.exclusively))

    def _locked(self, act: Callable[[sqlite3.Connection], T]) -> T:
        """Run `act`, and again after a repair if it finds text that is not UTF-8. Raises
        EngineError."""
        with self.lock:
            try:
                try:
                    return act(self.raw())
                except sqlite3.OperationalError as error:
                    if not unreadable_text.is_unreadable(error):
                        raise
                unreadable_text.repair(self.raw(), self.texts, self.exclusively)
                return act(self.raw())
            except sqlite3.Error as error:
                raise self._translated(error) from error

    def store_one(self, push: Push) -> bool:
        """Store a job by one statement, unless it waits for a gate, or is unique and expires. This
        is its own transaction and need not wait in line; an explicit one takes a third longer."""
        if push.gate or (push.expires and push.unique) or push.queue not in self.known_queues:
            return False
        with self.lock:
            try:
                self._store_one(self.raw(), push)
            except sqlite3.Error as error:
                raise self._translated(error) from error
        return True

    def _store_one(self, raw: sqlite3.Connection, push: Push) -> None:
        if self._writing:
            self._refuse_reentry()
        now, unique = clock.now(), push.unique
        place, due, ends = when(now, QUEUED, push.delay, push.at, push.expires)
        sql, row = INSERT_PLAIN, [push.id, place, due, push.queue, push.body]
        if unique:
            self._make_view(raw)
            lasts = unique.lasts and now + unique.lasts
            sql, row = INSERT_UNIQUE, [*row, unique.stored, unique.key, lasts]
        elif ends:
            sql, row = INSERT_JOB, [*row, None, ends]
        insert = self.texts[sql]
        cursor = self._cursor
        if cursor is None:
            cursor = self._cursor = raw.cursor()
        if not self._write_lock.polite_writes:
            try:
                cursor.execute(insert, row)
                return
            except sqlite3.OperationalError as error:
                if not is_busy(error):
                    raise
            self._write_lock.polite_writes = POLITE_WRITES
        self.exclusively(lambda: cursor.execute(insert, row))

    def _make_view(self, raw: sqlite3.Connection) -> None:
        if not self._has_view:
            raw.execute(self.texts[MAKE_VIEW])
            raw.execute(self.texts[MAKE_TRIGGER])
            self._has_view = True

    def raw(self) -> sqlite3.Connection:
        """Return the open connection. The caller holds the lock."""
        raw = self._raw
        if (
            raw is not None
            and (self._writing or not raw.in_transaction)  # a signal may leave a transaction open
            and (monotonic() - self._checked_at < FILE_CHECK_INTERVAL or self._is_same_file())
        ):
            return raw
        self.disconnect()
        self.known_queues.clear()
        self._has_view = False
        self._raw = connect(self.options)
        try:
            stat = os.stat(self.options.file)  # noqa: PTH116  # a tuple of numbers is wanted
            self._identity = (stat.st_dev, stat.st_ino)
            self._checked_at = monotonic()
            self._schema.prepare(self._raw, self.exclusively)
        except BaseException:
            self.disconnect()
            raise
        return self._raw

    def _transact(
        self, raw: sqlite3.Connection, work: Callable[[Transaction], T], gives_way: bool = False
    ) -> T:
        """Run a transaction. A signal handler may raise at any point, even right after BEGIN or
        during the rollback. `raw()` detects a transaction that was left open by this."""
        self._refuse_reentry()
        try:
            self._writing = True
            self._write_lock.acquire(lambda: raw.execute(BEGIN), gives_way)
            tx = SQLiteTransaction(raw, self.texts)
            result = work(tx)
            tx.run(*tx.ending)
            raw.execute("COMMIT")
        except BaseException:
            _roll_back(raw)
            raise
        finally:
            self._writing = False
            self._write_lock.release()
        return result

    def _refuse_reentry(self) -> None:
        """Raise EngineError if a signal handler would write within the interrupted transaction."""
        if self._writing:
            raise reentrancy_error(str(self.options.file))

    def _is_same_file(self) -> bool:
        """Return whether the path still names the open file. Others look for jobs at this path."""
        try:
            stat = os.stat(self.options.file)  # noqa: PTH116  # as in raw()
        except OSError:
            return False
        self._checked_at = monotonic()
        return self._identity == (stat.st_dev, stat.st_ino)

    def _translated(self, error: sqlite3.Error) -> EngineError:
        if code(error) == sqlite3.SQLITE_INTERRUPT:
            return interrupted(self.options.file)
        return translate(error, self.options.file)
