"""The lock under which connections write to a SQLite file, one at a time and in order.

SQLite makes a waiting writer sleep for longer and longer between its attempts. So a process that
writes without pause starves all others. If the others retried more often, the one that is writing
would get no CPU time. Here, each writer sleeps in the kernel until it gets the lock on a file
beside the database (`-turn`), and keeps this lock until its transaction has ended. There may be
hundreds of workers: they first wait in a separate line (`-line`), and only the first of them waits
for the turn. So a producer or keeper never waits behind all workers. The first worker polls
for a moment before it sleeps. As most turns are short, it is usually still awake when its turn
comes. Producers and keepers sleep at once. The kernel wakes them when the lock is released, nearly
always before the worker's next poll.

A write of a single job takes a few microseconds, so it bypasses the lines until it collides with
another. The kernel releases all locks of a process that dies. A writer gives up after LOCK_TIMEOUT
seconds in a line that does not move, for example because a process is stopped. While the line
moves, the writer keeps waiting.
"""

import fcntl
import os
import sqlite3
from _thread import allocate_lock, start_new_thread
from collections.abc import Callable
from contextlib import suppress
from math import inf
from pathlib import Path
from random import random
from time import monotonic, sleep
from typing import Any, TypeVar

from poolq.engines.sqlite.connecting import FILE_MODE
from poolq.engines.sqlite.faults import interrupted, is_busy, locked

T = TypeVar("T")
#: The type of `WriteLock.exclusively`.
Exclusively = Callable[[Callable[[], Any]], Any]

#: After this many seconds without any progress, a writer fails with "database is locked".
LOCK_TIMEOUT = 5.0
#: RETRY_INTERVAL: seconds between two attempts to write, if the writer whose turn it is collides
#: with one that bypassed the lines. Also the seconds between two polls of the first worker in line.
#: POLLING_SECONDS: how long that worker polls for the turn before it waits in the kernel.
RETRY_INTERVAL = 0.00005
POLLING_SECONDS = 0.02
#: Seconds between two attempts to get a lock if no thread can be started to wait for it.
THREADLESS_INTERVAL = 0.005
#: A writer shows progress, by touching the file `-turn`, at most once in this many seconds.
PROGRESS_INTERVAL = 1.0
#: How many writes of a connection wait in line after it has collided with another writer.
POLITE_WRITES = 100

#: Locks that nobody waits for any more; each is released as soon as it is granted.
_unwanted: set["_Lock"] = set()


def _share_as(database: os.stat_result, fd: int) -> None:
    """Let the users of the database use the file too, whatever umask its creator has, and even if
    root has created it. SQLite does the same with its files beside the database."""
    mode, file = database.st_mode & 0o666, os.fstat(fd)
    with suppress(PermissionError):  # another user's file, who does this
        if os.geteuid() == 0 and (file.st_uid, file.st_gid) != (database.st_uid, database.st_gid):
            os.fchown(fd, database.st_uid, database.st_gid)
        if file.st_mode & 0o777 != mode:
            os.fchmod(fd, mode)


class _Lock:
    """An exclusive lock on a file. It is released when the object is deleted."""

    __slots__ = ("fd", "granted", "unwanted")

    def __init__(self, path: str, database: os.stat_result | None) -> None:
        mode = FILE_MODE if database is None else database.st_mode & 0o666
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, mode)
        if database is not None:
            _share_as(database, self.fd)
        self.granted = allocate_lock()
        self.unwanted = False

    def __del__(self) -> None:
        with suppress(AttributeError):  # opening it has failed
            if self.fd >= 0:
                os.close(self.fd)

    def try_acquire(self) -> bool:
        """Take the lock if it is free. Returns whether it was taken."""
        try:
            fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def wait_in_thread(self) -> bool:
        """Wait in a separate thread, because `flock` has no timeout. `granted` can be acquired once
        the lock is taken. Returns False if this process cannot start a thread."""
        self.granted.acquire(blocking=False)
        try:
            start_new_thread(self._wait, ())
        except RuntimeError:
            self.granted.release()  # so that `give_up` finds no thread to wait for
            return False
        return True

    def poll(self, timeout: float) -> bool:
        """Wait for the lock as `granted.acquire` does, but without a thread."""
        end = monotonic() + timeout
        while not self.try_acquire():
            if monotonic() > end:
                return False
            sleep(THREADLESS_INTERVAL)
        return True

    def give_up(self) -> None:
        """Stop waiting. If the lock is granted anyway, this or the waiting thread releases it."""
        _unwanted.add(self)
        self.unwanted = True
        self.release()
        if self.granted.acquire(blocking=False):
            _unwanted.discard(self)

    def _wait(self) -> None:
        try:
            fcntl.flock(self.fd, fcntl.LOCK_EX)
            if self.unwanted:
                self.release()
            with suppress(RuntimeError):  # `interrupt` has released it
                self.granted.release()
        finally:
            _unwanted.discard(self)

    def release(self) -> None:
        fcntl.flock(self.fd, fcntl.LOCK_UN)


def _close_in_child() -> None:
    """Close the locks that threads of the parent wait for. A child would keep them locked."""
    for lock in _unwanted:
        fd, lock.fd = lock.fd, -1
        os.close(fd)
    _unwanted.clear()


os.register_at_fork(after_in_child=_close_in_child)


def run_read(read: Callable[[], T], exclusively: Exclusively) -> T:
    """Run a read. It waits in line only if another process creates, closes or repairs the file."""
    try:
        return read()
    except sqlite3.OperationalError as error:
        if not is_busy(error):
            raise
    result: T = exclusively(read)
    return result


class WriteLock:
    """One connection's access to the lock. One thread uses it; others may call `interrupt`.
    `polite_writes`: how many of the next writes must wait in line, however short they are."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._locks: dict[str, _Lock] = {}
        self._progress_at = -inf
        self.polite_writes = 0
        self._interrupted = False

    def exclusively(self, write: Callable[[], T]) -> T:
        """Run something short that needs the database to itself. Raises as `acquire` does."""
        try:
            return self.acquire(write)
        finally:
            self.release()

    def acquire(
        self, begin: Callable[[], T], gives_way: bool = False, patience: float = LOCK_TIMEOUT
    ) -> T:
        """Run `begin`, which starts to write, as soon as the database is free. The caller must then
        call `release`, even if this raises. `gives_way`: whether to wait in the workers' line
        first. Raises EngineUnavailable if no writer makes progress for `patience` seconds, and
        sqlite3.Error if a lock's file cannot be opened."""
        self.polite_writes = max(0, self.polite_writes - 1)
        try:
            if gives_way:
                self._enter("line", patience)
            self._enter("turn", patience, polls=gives_way)
        except OSError as error:
            failed = sqlite3.OperationalError(f"{error.strerror}: {error.filename}")
            failed.sqlite_errorcode = sqlite3.SQLITE_CANTOPEN
            raise failed from error
        if gives_way:
            self._locks["line"].release()
        began: float | None = None
        while True:
            try:
                result = begin()
            except sqlite3.OperationalError as error:
                if not is_busy(error):
                    raise
                began = self._back_off(began, patience)
            else:
                break
        now = monotonic()
        if now - self._progress_at > PROGRESS_INTERVAL:
            self._progress_at = now
            with suppress(OSError):  # a lost sign of progress does no harm
                os.utime(self._locks["turn"].fd)
        return result

    def release(self) -> None:
        self._interrupted = False
        for lock in self._locks.values():
            lock.release()

    def close(self) -> None:
        """Close the files. They are reopened when the lock is used again."""
        self._locks.clear()

    def _enter(self, lane: str, patience: float, *, polls: bool = False) -> None:
        """Take the lock of a line, in which others may be waiting. `polls`: whether to poll first,
        which only the first of the waiting workers may do."""
        lock = self._lock(lane)
        if lock.try_acquire():
            return
        self.polite_writes = POLITE_WRITES
        if polls and self._poll_briefly(lock):
            return
        try:
            granted = lock.granted.acquire if lock.wait_in_thread() else lock.poll
            turn = self._lock("turn").fd
            seen = os.fstat(turn).st_mtime_ns
            while not granted(timeout=patience):
                before, seen = seen, os.fstat(turn).st_mtime_ns
                if seen == before:
                    raise locked(self._file, patience)
            self._check()
        except BaseException:
            del self._locks[lane]  # the waiting thread owns it now
            lock.give_up()
            raise

    def _poll_briefly(self, lock: _Lock) -> bool:
        """Poll for a moment, since most turns end within it. Returns whether the lock was taken.
        Waiting in the kernel would need a thread, whose wake-up takes as long as writing a hundred
        jobs. With four workers, each job would then take a third longer."""
        end = monotonic() + POLLING_SECONDS
        while monotonic() < end:
            sleep(RETRY_INTERVAL)
            if lock.try_acquire():
                return True
            self._check()
        return False

    def interrupt(self) -> None:
        """Make this connection give up. Called by another thread."""
        self._interrupted = True
        for lock in list(self._locks.values()):
            with suppress(RuntimeError):  # no thread waits for this one
                lock.granted.release()

    def _check(self) -> None:
        if self._interrupted:
            raise interrupted(self._file)

    def _back_off(self, began: float | None, patience: float) -> float:
        """Sleep before the next attempt. The longer the wait has lasted, the shorter the sleep."""
        now = monotonic()
        self.polite_writes = POLITE_WRITES
        began = now if began is None else began
        waited = now - began
        self._check()
        if waited > patience:
            raise locked(self._file, patience)
        sleep(RETRY_INTERVAL * (0.5 + random()) / (1 + 10 * min(waited, 1)))
        return began

    def _lock(self, lane: str) -> _Lock:
        lock = self._locks.get(lane)
        if lock is None:
            database = None
            with suppress(OSError):  # opening the database reports a clearer error
                database = self._file.stat()
            lock = self._locks[lane] = _Lock(f"{self._file}-{lane}", database)
        return lock
