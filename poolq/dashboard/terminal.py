r"""The terminal: its modes while a screen is shown, and as they were afterwards.

- Ctrl-C and Ctrl-\ stay signals, so that they reach the pool whatever becomes of the screen.
  Ctrl-Z comes as a key: the terminal has to be given back before anybody stops.
- Nothing here waits for a terminal that takes nothing (Ctrl-S): output has a descriptor of its own
  that does not block, and what is left of a frame is sent before the next one.
- While another process has the terminal (`bg`), nothing is read, written or set.
"""

import os
import select
import signal
import termios
from collections.abc import Sequence
from contextlib import suppress
from time import monotonic

from poolq.dashboard.drawing import ansi
from poolq.dashboard.drawing.cells import Line
from poolq.dashboard.keys import READ
from poolq.dashboard.terminal_modes import Modes, for_screen, modes_of

LAST = 0.2  # seconds that the last words may take
SMALLEST = (1, 1)


class Terminal:
    """On the descriptors 0 and 1. `modes`: those to go back to; its own when None. `entered`: by
    a process that is dead; nobody knows whether its screen still shows."""

    def __init__(
        self, modes: Modes | None = None, *, ascii_only: bool = False, entered: bool = False
    ) -> None:
        self.fd = 0
        self._modes = modes or modes_of(self.fd)
        self._encoding = "ascii" if ascii_only else "utf-8"
        self._out, self._owned = _reopened(1)
        self._shown: list[Line] | None = None
        self._size = SMALLEST
        self._left = b""
        self.entered = self._others = entered

    def enter(self) -> None:
        """Show the other screen and take the keys. Does nothing in the background."""
        if self.entered or not self.foreground():
            return
        if self._modes is not None:
            self._set(for_screen(self._modes))
        self._shown = None
        self._left += ansi.ENTER.encode()
        self._flush()
        self.entered = True

    def leave(self) -> None:
        """As it was before. Idempotent."""
        if not self.entered:
            return
        self.entered = False
        if not self._others:  # a terminal that has no other screen keeps no picture either
            self._left += ansi.CLEAR.encode()
        self._left += ansi.LEAVE.encode()
        deadline = monotonic() + LAST
        while not self._flush() and monotonic() < deadline:
            select.select([], [self._out], [], max(0.0, deadline - monotonic()))
        self._left = b""
        if self._modes is not None and self.foreground():
            self._set(self._modes)

    def close(self) -> None:
        self.leave()
        if self._owned:
            os.close(self._out)
            self._owned = False

    def foreground(self) -> bool:
        """This process's group has the terminal; so, too, where nobody controls it."""
        try:
            return os.tcgetpgrp(self.fd) == os.getpgrp()
        except OSError:
            return True

    def size(self) -> tuple[int, int]:
        """Columns and lines now."""
        try:
            found = os.get_terminal_size(1)
        except OSError:
            return (80, 24)
        return (found.columns or 80, found.lines or 24)

    def keys(self) -> bytes:
        """What was typed; empty at the terminal's end."""
        try:
            return os.read(self.fd, READ)
        except OSError:
            return b""

    def ready(self) -> bool:
        """It has taken all of the last frame. Pushes on what is left."""
        return self.entered and self._flush()

    def redraw(self) -> None:
        """Nobody knows what is on it: the next frame is drawn as a whole."""
        self._shown = None

    def show(self, lines: Sequence[Line], size: tuple[int, int]) -> None:
        """A frame, when `ready`."""
        if size != self._size:
            self._size, self._shown = size, None
        text = ansi.changes(self._shown, lines)
        self._shown = list(lines)
        self._left = text.encode(self._encoding, "replace")
        self._flush()

    def _flush(self) -> bool:
        try:
            while self._left:
                self._left = self._left[os.write(self._out, self._left) :]
        except BlockingIOError:
            return False
        except OSError:
            self._left = b""  # it has gone; reading tells
        return True

    def _set(self, modes: Modes) -> None:
        with suppress(termios.error, OSError):
            termios.tcsetattr(self.fd, termios.TCSANOW, modes)  # type: ignore[arg-type]  # as tcgetattr gave them


def ignore_background() -> None:
    """Setting modes from the background would stop the whole group."""
    for number in (signal.SIGTTOU, signal.SIGTTIN):
        signal.signal(number, signal.SIG_IGN)


def restore(modes: Modes | None) -> None:
    """Give back a terminal that a killed process has left as it was: shortly, and at most once."""
    ignore_background()
    Terminal(modes, entered=True).close()


def _reopened(fd: int) -> tuple[int, bool]:
    """A description of its own that does not block, for others have the same one; and if it is."""
    try:
        return os.open(
            os.ttyname(fd), os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC
        ), True
    except OSError:
        return fd, False
