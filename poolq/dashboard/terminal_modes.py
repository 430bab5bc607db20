"""A terminal's modes: as they are, and as a screen needs them."""

import os
import termios

#: What tcgetattr gives.
Modes = list[object]


def modes_of(fd: int) -> Modes | None:
    """None: it is no terminal."""
    try:
        return list(termios.tcgetattr(fd))
    except (termios.error, OSError):
        return None


def for_screen(modes: Modes) -> Modes:
    """No echo, no lines, no Ctrl-Z; signals and Ctrl-S as ever."""
    found = list(modes)
    flags = found[3]
    assert isinstance(flags, int)
    found[3] = flags & ~(termios.ECHO | termios.ICANON | termios.IEXTEN) | termios.ISIG
    special = list(found[6])  # type: ignore[call-overload]  # the list of control characters
    special[termios.VMIN], special[termios.VTIME] = 1, 0
    special[termios.VSUSP] = os.fpathconf(0, "PC_VDISABLE").to_bytes(1, "little")
    found[6] = special
    return found
