"""Whose turn it is to write: a queue for the one lock that SQLite has.

SQLite lets who must wait sleep and look again, longer each time: one process that writes without
pause starves all others, and many that look often leave no processor to the one that writes. Here
writers wait in line, asleep in the kernel, for a lock on a file beside the database (`-turn`) that
one of them holds until its transaction has ended. Workers, of which there may be hundreds, wait in
a line of their own before that (`-line`), and only the first of them waits for the turn: so no
producer or keeper waits behind them all, and whoever is next is awake when its turn comes.

What writes a single job is over in a few microseconds: it goes round the lines, until it meets
another writer. The kernel takes all locks from a process that dies. One that is stopped is waited
for no longer than PATIENCE; a line that moves is waited for as long as it is.
"""

import fcntl
import os
import sqlite3
from _thread import allocate_lock, start_new_thread
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import random
from time import monotonic, sleep
from typing import Protocol, TypeVar

from poolq.engines.sqlite.connecting import MODE
from poolq.engines.sqlite.faults import interrupted, is_busy, locked

T = TypeVar("T")

#: Seconds without any progress after which a writer is told that the database is locked.
PATIENCE = 5.0
#: Seconds between two looks of who has the turn, while somebody who went round has the database;
#: and of who waits for the turn, for so many seconds before it waits in the kernel.
NEXT = 0.00005
SOON = 0.02
#: Seconds between two looks at a line where no thread can be had that waits in it.
OFTEN = 0.005
#: Seconds between two signs of progress that one writer gives.
SIGN = 1.0
#: So many writes are made by turns after another writer was met.
POLITE = 100

#: Locks that somebody has stopped waiting for, until they are granted, and given up at once.
_unwanted: set["_Lock"] = set()


class _Lock:
    """A lock on a file, shared by nobody; it ends with the object."""

    __slots__ = ("fd", "granted", "unwanted")

    def __init__(self, path: str, mode: int) -> None:
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, mode)
        self.granted = allocate_lock()
        self.unwanted = False

    def __del__(self) -> None:
        with suppress(AttributeError):  # it could not be opened
            if self.fd >= 0:
                os.close(self.fd)

    def free(self) -> bool:
        """Take it if nobody has it."""
        try:
            fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def queue(self) -> bool:
        """Wait in a thread of its own, as `flock` knows no timeout: `granted` can be acquired once
        it is ours. False: this process can have no more threads."""
        self.granted.acquire(blocking=False)
        try:
            start_new_thread(self._wait, ())
        except RuntimeError:
            return False
        return True

    def poll(self, timeout: float) -> bool:
        """As `granted.acquire`, without a thread."""
        end = monotonic() + timeout
        while not self.free():
            if monotonic() > end:
                return False
            sleep(OFTEN)
        return True

    def give_up(self) -> None:
        """Wait no longer; what is granted all the same is given back by one thread or the other."""
        _unwanted.add(self)
        self.unwanted = True
        self.end()
        if self.granted.acquire(blocking=False):
            _unwanted.discard(self)

    def _wait(self) -> None:
        try:
            fcntl.flock(self.fd, fcntl.LOCK_EX)
            if self.unwanted:
                self.end()
            with suppress(RuntimeError):  # who waits was told to hurry
                self.granted.release()
        finally:
            _unwanted.discard(self)

    def end(self) -> None:
        fcntl.flock(self.fd, fcntl.LOCK_UN)


def _in_child() -> None:
    """A child shares the locks that its parent waits for, and would keep them."""
    for lock in _unwanted:
        fd, lock.fd = lock.fd, -1
        os.close(fd)
    _unwanted.clear()


os.register_at_fork(after_in_child=_in_child)


class Patiently(Protocol):
    """`Turns.once`."""

    def __call__(self, write: Callable[[], T], /) -> T: ...


def softly(read: Callable[[], T], patiently: Patiently) -> T:
    """Run what waits only for those who make, close or repair the file."""
    try:
        return read()
    except sqlite3.OperationalError as error:
        if not is_busy(error):
            raise
    return patiently(read)


class Turns:
    """The turns of one connection; never used by two threads at a time.

    `polite`: how many of the next writes have to wait in line, however short they are.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._locks: dict[str, _Lock] = {}
        self._signed = 0.0
        self.polite = 0
        self._hurried = False

    def once(self, write: Callable[[], T]) -> T:
        """Run something short that needs the database for itself; see `take`."""
        try:
            return self.take(write)
        finally:
            self.leave()

    def take(
        self, begin: Callable[[], T], gives_way: bool = False, patience: float = PATIENCE
    ) -> T:
        """Run what begins to write as soon as the database is free for it. `leave` ends the turn,
        also where this raises. `gives_way`: wait behind those that do not.

        Raises EngineUnavailable after `patience` seconds in which nobody could write.
        """
        self.polite = max(0, self.polite - 1)
        if gives_way:
            self._enter("line", patience)
        self._enter("turn", patience)
        if gives_way:
            self._locks["line"].end()
        began = 0.0
        while True:
            try:
                result = begin()
            except sqlite3.OperationalError as error:
                if not is_busy(error):
                    raise
                began = self._look_again(began, patience)
            else:
                break
        now = monotonic()
        if now - self._signed > SIGN:
            self._signed = now
            with suppress(OSError):  # what is written is written
                os.utime(self._locks["turn"].fd)
        return result

    def leave(self) -> None:
        """End the turn."""
        self._hurried = False
        for lock in self._locks.values():
            lock.end()

    def close(self) -> None:
        """Open again when it is used again."""
        self._locks.clear()

    def _enter(self, lane: str, patience: float) -> None:
        """Take the lock of a line, in which others may wait."""
        lock = self._lock(lane)
        if lock.free():
            return
        self.polite = POLITE
        if lane == "turn" and self._soon(lock):
            return
        try:
            granted = lock.granted.acquire if lock.queue() else lock.poll
            turn = self._lock("turn").fd
            seen = os.fstat(turn).st_mtime_ns
            while not granted(timeout=patience):
                before, seen = seen, os.fstat(turn).st_mtime_ns
                if seen == before:
                    raise locked(self._file, patience)
            self._check()
        except BaseException:
            del self._locks[lane]  # the thread that waits has it now
            lock.give_up()
            raise

    def _soon(self, lock: _Lock) -> bool:
        """Look often for a moment, which most turns are over in: to wait in the kernel takes a
        thread, and to be woken by it about as long as to write a hundred jobs."""
        end = monotonic() + SOON
        while monotonic() < end:
            sleep(NEXT)
            if lock.free():
                return True
            self._check()
        return False

    def hurry(self) -> None:
        """Have the thread that waits give up; called by another one."""
        self._hurried = True
        for lock in list(self._locks.values()):
            with suppress(RuntimeError):  # it waits for something else
                lock.granted.release()

    def _check(self) -> None:
        if self._hurried:
            raise interrupted(self._file)

    def _look_again(self, began: float, patience: float) -> float:
        """Sleep a little; the longer one has waited the less."""
        now = monotonic()
        self.polite = POLITE
        began = began or now
        waited = now - began
        self._check()
        if waited > patience:
            raise locked(self._file, patience)
        sleep(NEXT * (0.5 + random()) / (1 + 10 * min(waited, 1)))
        return began

    def _lock(self, lane: str) -> _Lock:
        lock = self._locks.get(lane)
        if lock is None:
            mode = MODE
            with suppress(OSError):  # the database itself says better what is wrong with its folder
                mode = self._file.stat().st_mode & 0o666
            lock = self._locks[lane] = _Lock(f"{self._file}-{lane}", mode)
        return lock
