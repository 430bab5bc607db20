r"""The terminal: its modes while a screen is shown, and their restoration.

- Ctrl-C and Ctrl-\ remain signals, so that they reach the pool even if the screen hangs. Ctrl-Z
  arrives as a key, because the terminal must be restored before the processes stop.
- Drawing never waits for a terminal that accepts no output (Ctrl-S). The output goes to a separate
  non-blocking descriptor, and no frame is drawn until the last one has been sent completely.
- While the process is in the background (`bg`), the terminal is not read, written or set.
"""

import os
import select
import signal
from collections.abc import Sequence
from time import monotonic

from rich.color import ColorSystem

from poolq.dashboard.key_parser import READ_SIZE
from poolq.dashboard.tty_modes import Modes, for_screen, modes_of, set_modes
from poolq.styling.cells import Line, line_width

FLUSH_TIMEOUT = 0.2  # seconds to send the rest of the output
SMALLEST = (1, 1)
#: The alternate screen, no cursor, no wrapping, bracketed paste.
ENTER_SCREEN = "\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[?2004h\x1b[2J"
#: Turn on and off the reports of clicks and the wheel, with decimal coordinates.
MOUSE_ON, MOUSE_OFF = "\x1b[?1000h\x1b[?1006h", "\x1b[?1006l\x1b[?1000l"
LEAVE_SCREEN = f"\x1b[0m{MOUSE_OFF}\x1b[?2004l\x1b[?7h\x1b[?25h\x1b[?1049l"
CLEAR = "\x1b[0m\x1b[2J\x1b[H"
_BEGIN, _END = "\x1b[?2026h", "\x1b[?2026l"  # synchronized output, on terminals that support it


class Terminal:
    """The terminal at descriptors 0 and 1. `modes` are the modes to restore (default: the current
    ones). `mouse`: whether the terminal reports the mouse. `entered` says that a process which died
    may have left its screen on the terminal."""

    def __init__(
        self,
        modes: Modes | None = None,
        *,
        ascii_only: bool = False,
        mouse: bool = False,
        entered: bool = False,
    ) -> None:
        self.fd = 0
        self._modes = modes or modes_of(self.fd)
        self._encoding = "ascii" if ascii_only else "utf-8"
        self._mouse = mouse
        self._out, self._owned = _reopened(1)
        self._shown: list[Line] | None = None
        self._size = SMALLEST
        self._left = b""
        self.entered = self._others = entered

    def enter(self) -> None:
        """Switch to the alternate screen and read single keys. Does nothing in the background."""
        if self.entered or not self.foreground():
            return
        if self._modes is not None:
            set_modes(self.fd, for_screen(self._modes))
        self._shown = None
        self._left += (ENTER_SCREEN + MOUSE_ON * self._mouse).encode()
        self._flush()
        self.entered = True

    def leave(self) -> None:
        """Restore the terminal. Idempotent."""
        if not self.entered:
            return
        self.entered = False
        if not self._others:  # for terminals without an alternate screen
            self._left += CLEAR.encode()
        self._left += LEAVE_SCREEN.encode()
        deadline = monotonic() + FLUSH_TIMEOUT
        while not self._flush() and monotonic() < deadline:
            select.select([], [self._out], [], max(0.0, deadline - monotonic()))
        self._left = b""
        if self._modes is not None and self.foreground():
            set_modes(self.fd, self._modes)

    def close(self) -> None:
        self.leave()
        if self._owned:
            os.close(self._out)
            self._owned = False

    def foreground(self) -> bool:
        """Return False if this process's group is in the background of its controlling terminal."""
        try:
            return os.tcgetpgrp(self.fd) == os.getpgrp()
        except OSError:
            return True

    def size(self) -> tuple[int, int]:
        """Return the numbers of columns and lines."""
        try:
            found = os.get_terminal_size(1)
        except OSError:
            return (80, 24)
        return (found.columns or 80, found.lines or 24)

    def keys(self) -> bytes:
        """Return the typed bytes, or none if the terminal was closed."""
        try:
            return os.read(self.fd, READ_SIZE)
        except OSError:
            return b""

    def ready(self) -> bool:
        """Send the rest of the last frame. Returns True if nothing is left to send."""
        return self.entered and self._flush()

    def redraw(self) -> None:
        """Make `show` draw all lines of the next frame, since the current content is unknown."""
        self._shown = None

    def show(self, lines: Sequence[Line], size: tuple[int, int]) -> None:
        """Draw a frame. Call this only if `ready` returns True."""
        if size != self._size:
            self._size, self._shown = size, None
        text = changes(self._shown, lines, size[0])
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
            self._left = b""  # the terminal was closed; the next read reports it
        return True


def ignore_background() -> None:
    """Ignore SIGTTOU and SIGTTIN, which would stop the whole group in the background."""
    for number in (signal.SIGTTOU, signal.SIGTTIN):
        signal.signal(number, signal.SIG_IGN)


def restore(modes: Modes | None) -> None:
    """Restore a terminal that a killed process has left in its own modes."""
    ignore_background()
    Terminal(modes, entered=True).close()


def _reopened(fd: int) -> tuple[int, bool]:
    """Reopen the terminal as non-blocking, since other processes share `fd`. Returns a descriptor
    to write to, and whether it is a new one."""
    try:
        flags = os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC
        return os.open(os.ttyname(fd), flags), True
    except OSError:
        return fd, False


def line_text(line: Line) -> str:
    """Return the styled text, without cursor movements."""
    return "".join(
        segment.style.render(segment.text, color_system=ColorSystem.STANDARD)
        if segment.style
        else segment.text
        for segment in line
    )


def changes(shown: Sequence[Line] | None, lines: Sequence[Line], width: int) -> str:
    """Return the output that turns the frame `shown` into `lines`, or "" if nothing has changed. If
    `shown` is None, the content of the terminal is unknown. The rest of a line is erased, unless
    the line fills all `width` columns, since the cursor then stays on the last column and erasing
    would clear that column."""
    parts = []
    for number, line in enumerate(lines):
        if shown is None or number >= len(shown) or shown[number] != line:
            erase = "\x1b[K" if line_width(line) < width else ""
            parts.append(f"\x1b[{number + 1};1H{line_text(line)}\x1b[0m{erase}")
    if not parts:
        return ""
    start = "\x1b[2J" if shown is None else ""
    return f"{_BEGIN}{start}{''.join(parts)}{_END}"
