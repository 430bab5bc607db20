"""Whose turn it is to write: a queue for the one lock that SQLite has.

SQLite lets who must wait sleep and look again, longer each time; a process that writes without
pause then starves all others. Here a writer passes a turnstile first, a lock on a file beside
the database: whoever has it is next and looks often, all others wait for the turnstile, and one
who has just written is one of those. The kernel takes both locks from a process that dies. One
that is stopped is waited for no longer than PATIENCE. What writes a single job is over in a few
microseconds: it goes round the turnstile, until it meets another writer.
"""

import fcntl
import os
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import random
from time import monotonic, sleep
from typing import TypeVar

from poolq.engines.sqlite.connecting import MODE
from poolq.engines.sqlite.faults import is_busy, locked

T = TypeVar("T")

#: Seconds after which a writer is told that the database is locked.
PATIENCE = 5.0
#: Seconds between two looks: of the next one at the database, of the others at the turnstile.
NEXT = 0.00005
OTHERS = 0.0005
#: So many writes are made by turns after another writer was met.
POLITE = 100


class Turns:
    """The turnstile of one connection; never used by two threads at a time.

    `polite`: how many of the next writes have to pass it, however short they are.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._turnstile: int | None = None
        self.polite = 0

    def take(self, write: Callable[[], T], patience: float = PATIENCE) -> T:
        """Run `write` (or what begins to write) as soon as the database is free for it.

        Raises EngineUnavailable after `patience` seconds; nothing was written then.
        """
        turnstile = self._opened()
        began = 0.0
        self.polite = max(0, self.polite - 1)
        try:  # a signal's handler may raise as soon as it is ours
            while True:
                try:
                    fcntl.flock(turnstile, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    began = self._wait(began, OTHERS, patience)
            while True:
                try:
                    return write()
                except sqlite3.OperationalError as error:
                    if not is_busy(error):
                        raise
                    began = self._wait(began, NEXT, patience)
        finally:
            fcntl.flock(turnstile, fcntl.LOCK_UN)

    def close(self) -> None:
        """Open again when it is used again."""
        turnstile, self._turnstile = self._turnstile, None
        if turnstile is not None:
            os.close(turnstile)

    def _wait(self, began: float, pause: float, patience: float) -> float:
        """Sleep a little; the longer one has waited the less, in favour of those first in line."""
        now = monotonic()
        self.polite = POLITE
        if not began:
            began = now
        waited = now - began
        if waited > patience:
            raise locked(self._file, patience)
        sleep(pause * (0.5 + random()) / (1 + 10 * min(waited, 1)))
        return began

    def _opened(self) -> int:
        if self._turnstile is None:
            path = f"{self._file}-turn"
            mode = MODE
            with suppress(OSError):  # the database itself says better what is wrong with its folder
                mode = self._file.stat().st_mode & 0o666
            self._turnstile = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, mode)
        return self._turnstile
