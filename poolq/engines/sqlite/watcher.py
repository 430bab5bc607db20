"""Hearing that others write to the file: inotify on SQLite's log (Linux; elsewhere there is none).

The log is written a moment before the commit can be seen, and a file system may tell nothing at
all. So an event says only that now is the time to look often, and without any it is looked now and
then all the same.
"""

import ctypes
import os
import select
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path

#: Seconds between two looks whether another connection has changed the file, while that is likely
#: and where nothing can be heard. A look takes 4 µs, to wake up for it 60: under 1 % of a core.
POLL_INTERVAL = 0.008
#: So long after an event it stays likely: a commit is seen when the disk has it.
POLLING_SECONDS = 0.05
#: Seconds between two looks where nothing is heard.
LISTEN_TIMEOUT = 0.25

#: After so many changes in a row that nothing was heard of, nothing is listened to any more.
MAX_UNHEARD = 3

IN_MODIFY, IN_IGNORED = 0x2, 0x8000  # IN_MODIFY, IN_IGNORED: the file is gone
INOTIFY_EVENT = struct.Struct("iIII")  # watch, what, cookie, length of a name
READ_BYTES = 4096


class FileWatch:
    """Of one file, until it is closed, which takes the kernel 10 ms. Raises OSError where the file
    cannot be watched."""

    def __init__(self, file: Path) -> None:
        if sys.platform != "linux":
            raise OSError("there is no inotify here")
        lib = ctypes.CDLL(None, use_errno=True)
        start: Callable[[int], int] = lib.inotify_init1
        add: Callable[[int, bytes, int], int] = lib.inotify_add_watch
        self.file = _identity(file)
        self.ended = False
        self._fd = start(os.O_CLOEXEC | os.O_NONBLOCK)
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), "inotify_init1")
        if add(self._fd, os.fsencode(file), IN_MODIFY) < 0:
            number = ctypes.get_errno()
            self.close()
            raise OSError(number, "inotify_add_watch")
        self._poll = select.poll()
        self._poll.register(self._fd, select.POLLIN)

    def heard(self, timeout: float) -> bool:
        """Wait until the file is written to; whether it was."""
        if not self._poll.poll(timeout * 1000):
            return False
        events = os.read(self._fd, READ_BYTES)  # equal ones that nobody has read are one
        self.ended = self.ended or any(
            what & IN_IGNORED for _, what, *_ in INOTIFY_EVENT.iter_unpack(events)
        )
        return True

    def close(self) -> None:
        os.close(self._fd)


class Watcher:
    """The pauses between one thread's looks at a database. The order is `begin`, then as often as
    wanted a look and a `pause`; `changed` when a look has shown a change. `silent`: nothing was
    heard in the last pause, though it was listened."""

    def __init__(self, database: Path) -> None:
        self._log = database.with_name(f"{database.name}-wal")
        self._watch: FileWatch | None = None
        self._often_until = 0.0
        self.silent = False
        self._unheard = 0

    @property
    def listens(self) -> bool:
        """Whether events are waited for; else it is looked often."""
        return self._watch is not None

    def begin(self) -> None:
        """Have the log watched that is there now."""
        self.silent = False
        often_until = time.monotonic() + POLLING_SECONDS
        try:
            if self._watch is not None:
                if self._watch.heard(0):
                    self._often_until = often_until
                # It may have heard its end: another file may have its number now.
                if not self._watch.ended and self._watch.file == _identity(self._log):
                    return
            self._often_until = often_until
            self.close()
            if self._unheard < MAX_UNHEARD:
                self._watch = FileWatch(self._log)
        except OSError:  # no log yet, or nothing to be heard: it is looked often
            self.close()

    def changed(self) -> None:
        self._unheard = self._unheard + 1 if self.silent else 0
        if self._unheard >= MAX_UNHEARD:
            self.close()

    def pause(self, longest: float) -> None:
        """At most `longest` seconds, mostly less."""
        self.silent = False
        if self._watch is None:
            time.sleep(min(longest, POLL_INTERVAL))
            return
        now = time.monotonic()
        if now < self._often_until:
            time.sleep(min(longest, POLL_INTERVAL))
            heard = self._watch.heard(0)
        else:
            heard = self._watch.heard(min(longest, LISTEN_TIMEOUT))
            self.silent = not heard
        if heard:
            self._often_until = time.monotonic() + POLLING_SECONDS

    def close(self) -> None:
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.close()


def _identity(file: Path) -> tuple[int, int]:
    found = file.stat()
    return found.st_dev, found.st_ino
