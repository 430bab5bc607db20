"""A thread's connection to the file: opened when needed, its statements run one by one."""

import os
import sqlite3
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import count, repeat
from pathlib import Path
from time import monotonic, time_ns
from typing import TypeVar

import msgspec

from poolq.engines.base import Push
from poolq.engines.connections import reentrancy_error
from poolq.engines.sql.location import DELAYED, QUEUED
from poolq.engines.sql.session import (
    BatchQuery,
    Query,
    QueryResult,
    RenderedSQL,
    Session,
    Transaction,
)
from poolq.engines.sql.wakeups import ADD_QUEUE
from poolq.engines.sqlite import forks
from poolq.engines.sqlite.connecting import connect
from poolq.engines.sqlite.connecting import now as clock
from poolq.engines.sqlite.faults import code, interrupted, is_busy, translate
from poolq.engines.sqlite.options import SQLiteOptions
from poolq.engines.sqlite.schema import SQLiteSchema
from poolq.engines.sqlite.watcher import Watcher
from poolq.engines.sqlite.write_lock import POLITE_WRITES, WriteLock, run_read
from poolq.errors import EngineError

T = TypeVar("T")

BEGIN = "BEGIN IMMEDIATE"
DATA_VERSION = "PRAGMA data_version"
INSERT_JOB = "INSERT INTO {jobs} (id, place, due_at, queue, body) VALUES (?, ?, ?, ?, ?)"
MARK_CLAIMED = """UPDATE {jobs} SET place = ?, request = ?, idx = ?, admitted = lasts > ?, taken = ?
    WHERE id = ?"""
#: Seconds after which it is looked whether the file is still the one that was opened.
FILE_CHECK_INTERVAL = 1.0


class SQLiteTransaction(Transaction):
    """Every statement runs when it is sent; there is no round trip to save."""

    def __init__(self, raw: sqlite3.Connection, texts: RenderedSQL) -> None:
        super().__init__()
        self._raw = raw
        self._texts = texts

    def send(self, ops: Sequence[Query | BatchQuery]) -> list[QueryResult]:
        return [run(self._raw, self._texts, op) for op in ops]

    def marks(
        self, place: str, request: int, first: int, ids: Sequence[str], now: int
    ) -> list[Query | BatchQuery]:
        same = repeat(place), repeat(request), count(first), repeat(now), repeat(clock())
        return [BatchQuery(MARK_CLAIMED, list(zip(*same, ids, strict=False)))]


def run(raw: sqlite3.Connection, texts: RenderedSQL, op: Query | BatchQuery) -> QueryResult:
    if isinstance(op, BatchQuery):
        return QueryResult((), raw.executemany(texts[op.sql], op.rows).rowcount)
    cursor = raw.execute(texts[op.sql], [_value(arg) for arg in op.args])
    return QueryResult(cursor.fetchall(), cursor.rowcount)


def _due(stamp: int, delay: int, at: int) -> tuple[str, int]:
    """Where a job is stored, and when it is due: what is due already is ready, as from now."""
    due = at or stamp + delay
    return (DELAYED, due) if due > stamp else (QUEUED, stamp)


def _cannot_open(error: OSError) -> sqlite3.Error:
    """The file of a lock cannot be opened."""
    failed = sqlite3.OperationalError(f"{error.strerror}: {error.filename}")
    failed.sqlite_errorcode = sqlite3.SQLITE_CANTOPEN
    return failed


def _value(arg: object) -> object:
    return msgspec.json.encode(arg).decode() if isinstance(arg, (list, tuple)) else arg


class SQLiteSession(Session):
    """See the module's head. `queues` are those that this connection knows to be known."""

    counted = 100_000
    skips = True
    limits_deletes = False  # SQLite is seldom built with it

    def __init__(self, options: SQLiteOptions, texts: RenderedSQL, schema: SQLiteSchema) -> None:
        self.lock = threading.RLock()
        self.options = options
        self.texts = texts
        self.queues: set[str] = set()
        self._insert = texts[INSERT_JOB]
        self._schema = schema
        self._write_lock = WriteLock(options.file)
        self.watcher = Watcher(options.file)
        self._raw: sqlite3.Connection | None = None
        self._cursor: sqlite3.Cursor | None = None  # for single jobs
        self._looked = 0.0
        self._identity: tuple[int, int] | None = None
        self._writing = False
        forks.watch(self)

    def shut(self) -> None:
        """Close the connection; it is opened again when it is used again."""
        raw, self._raw = self._raw, None
        cursor, self._cursor = self._cursor, None
        if cursor is not None:
            cursor.close()  # its statement would keep the file open
        if raw is not None:
            raw.close()
        self._write_lock.close()

    @property
    def file(self) -> Path:
        return self.options.file

    def interrupt(self) -> None:
        """See `forks.Closable`."""
        self._write_lock.hurry()
        raw = self._raw
        if raw is not None:
            with suppress(sqlite3.ProgrammingError):  # it was closed just now
                raw.interrupt()

    def close(self) -> None:
        """Close the connection for good."""
        with self.lock:  # a fork must not find it half closed
            self.shut()
        self.watcher.close()
        forks.forget(self)

    def transact(self, work: Callable[[Transaction], T], gives_way: bool = False) -> T:
        with self.lock:
            try:
                return self._transact(self.raw(), work, gives_way)
            except sqlite3.Error as error:
                raise self._worded(error) from error

    def read(self, *ops: Query) -> list[QueryResult]:
        with self.lock:
            try:
                raw = self.raw()
                return run_read(lambda: [run(raw, self.texts, op) for op in ops], self.patiently)
            except sqlite3.Error as error:
                raise self._worded(error) from error

    def version(self) -> tuple[int, int]:
        """Changes when another connection has changed the database, or this one was renewed."""
        with self.lock:
            try:
                raw = self.raw()
                return id(raw), run_read(
                    lambda: raw.execute(DATA_VERSION).fetchone()[0], self.patiently
                )
            except sqlite3.Error as error:
                raise self._worded(error) from error

    def push(self, pushes: Sequence[Push]) -> None:
        """Store jobs, all or none."""
        with self.lock:
            try:
                raw = self.raw()
                if len(pushes) == 1:
                    self._push_one(raw, pushes[0])
                else:
                    self._push_all(raw, pushes)
            except sqlite3.Error as error:
                raise self._worded(error) from error

    def raw(self) -> sqlite3.Connection:
        """The open connection; the lock is held."""
        raw = self._raw
        if (
            raw is not None
            and (self._writing or not raw.in_transaction)  # else one was left
            and (monotonic() - self._looked < FILE_CHECK_INTERVAL or self._is_there())
        ):
            return raw
        self.shut()
        self.queues.clear()
        self._raw = connect(self.options)
        try:
            stat = os.stat(self.options.file)  # noqa: PTH116  # a tuple of numbers is wanted
            self._identity = (stat.st_dev, stat.st_ino)
            self._looked = monotonic()
            self._schema.prepare(self._raw, self.patiently)
        except BaseException:
            self.shut()
            raise
        return self._raw

    def patiently(self, work: Callable[[], T]) -> T:
        """Run something that needs the database for itself."""
        try:
            return self._write_lock.once(work)
        except OSError as error:
            raise _cannot_open(error) from error

    def _begin(self, raw: sqlite3.Connection, gives_way: bool) -> None:
        """Begin a transaction; `_write_lock.leave` must follow its end."""
        try:
            self._write_lock.take(lambda: raw.execute(BEGIN), gives_way)
        except OSError as error:
            raise _cannot_open(error) from error

    def _transact(
        self, raw: sqlite3.Connection, work: Callable[[Transaction], T], gives_way: bool = False
    ) -> T:
        """A signal's handler may raise anywhere in here, also between BEGIN and its return, and
        again while that is undone: then `raw()` finds the transaction that was left."""
        self._refuse_within()
        try:
            self._writing = True
            self._begin(raw, gives_way)
            tx = SQLiteTransaction(raw, self.texts)
            result = work(tx)
            tx.run()
            raw.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):  # the first error is the one to tell
                if raw.in_transaction:
                    raw.execute("ROLLBACK")
            raise
        finally:
            self._writing = False
            self._write_lock.leave()
        return result

    def _refuse_within(self) -> None:
        """A handler that writes while it has interrupted a transaction would be part of that."""
        if self._writing:
            raise reentrancy_error(str(self.options.file))

    def _push_one(self, raw: sqlite3.Connection, push: Push) -> None:
        """A statement that is its own transaction."""
        id_, queue, body, delay, at = push
        if queue not in self.queues:
            self._know(raw, {queue})
        if self._writing:
            self._refuse_within()
        stamp = time_ns() // 1000
        place, due = _due(stamp, delay, at) if delay or at else ("", stamp)
        row = id_, place, due, queue, body
        cursor = self._cursor
        if cursor is None:
            cursor = self._cursor = raw.cursor()
        if not self._write_lock.polite:
            try:
                cursor.execute(self._insert, row)
                return
            except sqlite3.OperationalError as error:
                if not is_busy(error):
                    raise
            self._write_lock.polite = POLITE_WRITES
        self.patiently(lambda: cursor.execute(self._insert, row))

    def _push_all(self, raw: sqlite3.Connection, pushes: Sequence[Push]) -> None:
        self._know(raw, {one.queue for one in pushes})
        stamp = clock()
        rows = [
            (id_, *_due(stamp, delay, at), queue, body) for id_, queue, body, delay, at in pushes
        ]
        self._transact(raw, lambda tx: tx.later(BatchQuery(INSERT_JOB, rows)))

    def _know(self, raw: sqlite3.Connection, queues: set[str]) -> None:
        """Make these queues known, so that they are looked into."""
        new = queues - self.queues
        if new:
            self._transact(
                raw, lambda tx: tx.later(*(Query(ADD_QUEUE, (queue,)) for queue in sorted(new)))
            )
            self.queues |= new

    def _is_there(self) -> bool:
        """Whether the opened file is still the one of that name: else jobs would go to a file
        that nobody will ever open again."""
        try:
            stat = os.stat(self.options.file)  # noqa: PTH116  # as in raw()
        except OSError:
            return False
        self._looked = monotonic()
        return self._identity == (stat.st_dev, stat.st_ino)

    def _worded(self, error: sqlite3.Error) -> EngineError:
        if code(error) == sqlite3.SQLITE_INTERRUPT:
            return interrupted(self.options.file)
        return translate(error, self.options.file)
