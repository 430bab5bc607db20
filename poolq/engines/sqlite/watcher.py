"""Notices that other connections write to the file, on Linux by inotify on the write-ahead log.

The log is written a moment before the commit becomes visible, so after an event the database is
polled twice. As some file systems report nothing, it is also polled without events.
"""

import ctypes
import os
import select
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path

#: Seconds between two polls while a change is likely, or if events are not available. A poll takes
#: 4 µs and waking up for it takes 60 µs; together this is less than 1 % of a core.
POLL_INTERVAL = 0.008
#: Seconds between two polls while events are available but none arrives.
LISTEN_TIMEOUT = 0.1

IN_MODIFY, IN_IGNORED = 0x2, 0x8000  # IN_IGNORED: the file was deleted
INOTIFY_EVENT = struct.Struct("iIII")  # watch, what, cookie, length of a name
READ_BYTES = 4096


class FileWatch:
    """Watches one file until `close` is called. Closing takes 10 ms. Raises OSError if the file
    cannot be watched."""

    def __init__(self, file: Path) -> None:
        if sys.platform != "linux":
            raise OSError("there is no inotify here")
        lib = ctypes.CDLL(None, use_errno=True)
        start: Callable[[int], int] = lib.inotify_init1
        add: Callable[[int, bytes, int], int] = lib.inotify_add_watch
        self._identity = _identity(file)
        self._ended = False
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
        """Wait up to `timeout` seconds until the file is written to. Returns whether it was."""
        if not self._poll.poll(timeout * 1000):
            return False
        events = os.read(self._fd, READ_BYTES)  # the kernel merges equal unread events
        gone = any(what & IN_IGNORED for _, what, *_ in INOTIFY_EVENT.iter_unpack(events))
        self._ended = self._ended or gone
        return True

    def lasts(self, file: Path) -> bool:
        """Return whether this watches the file that has this path now. A new file may have the
        inode of a removed one, so pending events are read first: one may tell of a removal."""
        self.heard(0)
        return not self._ended and self._identity == _identity(file)

    def close(self) -> None:
        os.close(self._fd)


class Watcher:
    """Lets one thread sleep between its polls of a database. Call `begin`, then poll and `pause` in
    turn."""

    def __init__(self, database: Path) -> None:
        self._log = database.with_name(f"{database.name}-wal")
        self._watch: FileWatch | None = None
        self.heard = True

    def begin(self) -> None:
        """Watch the log that exists now."""
        self.heard = True  # a change may have come before the watch begins
        try:
            if self._watch is None or not self._watch.lasts(self._log):
                self.close()
                self._watch = FileWatch(self._log)
        except OSError:  # no log yet, or no inotify
            self.close()

    def pause(self, longest: float) -> None:
        """Sleep for at most `longest` seconds, usually for less."""
        if self._watch is None or self.heard:
            time.sleep(min(longest, POLL_INTERVAL))
            longest = 0
        if self._watch is not None:
            self.heard = self._watch.heard(min(longest, LISTEN_TIMEOUT))

    def close(self) -> None:
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.close()


def _identity(file: Path) -> tuple[int, int]:
    found = file.stat()
    return found.st_dev, found.st_ino
