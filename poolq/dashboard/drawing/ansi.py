"""Turns a frame into escape sequences, for only those lines that have changed."""

from collections.abc import Sequence

from rich.color import ColorSystem

from poolq.styling.cells import Line, line_width

#: The alternate screen, no cursor, no wrapping, bracketed paste.
ENTER_SCREEN = "\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[?2004h\x1b[2J"
#: Clicks and the wheel are reported, with decimal coordinates.
MOUSE_ON, MOUSE_OFF = "\x1b[?1000h\x1b[?1006h", "\x1b[?1006l\x1b[?1000l"
LEAVE_SCREEN = f"\x1b[0m{MOUSE_OFF}\x1b[?2004l\x1b[?7h\x1b[?25h\x1b[?1049l"
CLEAR = "\x1b[0m\x1b[2J\x1b[H"
_BEGIN, _END = "\x1b[?2026h", "\x1b[?2026l"  # synchronized output, on terminals that support it


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
