"""A terminal for what is measured: a pty that somebody reads at once, and shows to nobody."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import termios
import threading
from collections.abc import Iterator
from contextlib import contextmanager

SIZE = (100, 30)  # columns and lines
FRAME = b"\x1b[?2026h"  # what each frame begins with


class Terminal:
    """`fd`: the programs' end; `frames`: that were drawn on it."""

    def __init__(self, size: tuple[int, int]) -> None:
        self._person, self.fd = pty.openpty()
        columns, lines = size
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self.frames = 0
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def close(self) -> None:
        """To be called when its programs have ended."""
        os.close(self.fd)
        self._reader.join()
        os.close(self._person)

    def _read(self) -> None:
        try:
            while data := os.read(self._person, 1 << 16):
                self.frames += data.count(FRAME)
        except OSError:  # how Linux says that no program has the other end any more
            return


@contextmanager
def terminal(size: tuple[int, int] = SIZE) -> Iterator[Terminal]:
    found = Terminal(size)
    try:
        yield found
    finally:
        found.close()
