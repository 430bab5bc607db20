"""Reads and sets a terminal's modes, and makes those that a screen needs. The master imports this
module, so it must not import the libraries that draw."""

import os
import termios
from contextlib import suppress

#: The list that tcgetattr returns.
Modes = list[object]


def modes_of(fd: int) -> Modes | None:
    """Return the terminal's current modes, or None if `fd` is no terminal."""
    try:
        return list(termios.tcgetattr(fd))
    except (termios.error, OSError):
        return None


def set_modes(fd: int, modes: Modes) -> None:
    """Set the terminal's modes, if it is still there."""
    with suppress(termios.error, OSError):
        termios.tcsetattr(fd, termios.TCSANOW, modes)  # type: ignore[arg-type]  # from tcgetattr


def for_screen(modes: Modes) -> Modes:
    """Return modes in which keys are read at once, without echo, and Ctrl-Z sends no signal."""
    found = list(modes)
    flags = found[3]
    assert isinstance(flags, int)
    found[3] = flags & ~(termios.ECHO | termios.ICANON | termios.IEXTEN) | termios.ISIG
    special = list(found[6])  # type: ignore[call-overload]  # the list of control characters
    special[termios.VMIN], special[termios.VTIME] = 1, 0
    special[termios.VSUSP] = os.fpathconf(0, "PC_VDISABLE").to_bytes(1, "little")
    found[6] = special
    return found
