"""Turns what a terminal sends for keys and the mouse into names."""

import re

_SEQUENCES = {
    b"\x1b[A": "up", b"\x1b[B": "down", b"\x1bOA": "up", b"\x1bOB": "down",
    b"\x1b[C": "right", b"\x1b[D": "left", b"\x1bOC": "right", b"\x1bOD": "left",
    b"\x1b[5~": "page up", b"\x1b[6~": "page down", b"\x1b[H": "home", b"\x1b[F": "end",
    b"\x1b[1~": "home", b"\x1b[4~": "end", b"\x1bOH": "home", b"\x1bOF": "end",
    b"\x1b[Z": "shift-tab", b"\x1b[200~": "paste begins", b"\x1b[201~": "paste ends",
}  # fmt: skip
_SINGLE = {
    "\t": "tab", "\r": "enter", "\n": "enter", "\x7f": "backspace", "\x08": "backspace",
    "\x1a": "ctrl-z", "\x0c": "ctrl-l", "\x15": "ctrl-u", "\x03": "ctrl-c", "\x04": "ctrl-d",
    "\x17": "ctrl-w",
}  # fmt: skip
#: The mouse buttons that are used. Other buttons are ignored, and so are all releases.
_BUTTONS = {b"0": "click", b"64": "wheel up", b"65": "wheel down"}
_MOUSE = re.compile(rb"\x1b\[<(\d+);(\d{1,9});(\d{1,9})M")
_OLD_MOUSE = b"\x1b[M"  # from terminals that know only the oldest form; three more bytes follow
_OLD_MOUSE_SIZE = 6
#: An event of the old mouse, an escape sequence, a lone escape, or text without escapes.
_TOKEN = re.compile(rb"\x1b\[M.{0,3}|\x1b[\[O][^@-~]*[@-~]?|\x1b|[^\x1b]+", re.DOTALL)
READ_SIZE = 4096  # bytes per read


def split_incomplete(data: bytes) -> tuple[bytes, bytes]:
    """Split off an incomplete escape sequence at the end of the data."""
    at = data.rfind(b"\x1b")
    last = data[at:] if at >= 0 else b""
    begun = last[1:2] in (b"[", b"O") and not any(0x40 <= one <= 0x7E for one in last[2:])
    begun = begun or (last.startswith(_OLD_MOUSE) and len(last) < _OLD_MOUSE_SIZE)
    if begun or (last == b"\x1b" and len(data) >= READ_SIZE):
        return data[:at], last
    return data, b""


def parse(data: bytes) -> list[str]:
    """Return the names of the typed keys; a printable key is its own name. Unknown sequences are
    ignored. A lone escape is the key "esc". Mouse events get names that `mouse` can split."""
    found: list[str] = []
    for token in _TOKEN.findall(data):
        if token[:1] == b"\x1b":
            found.append("esc" if token == b"\x1b" else _SEQUENCES.get(token) or _mouse(token))
        else:
            plain = token.decode("utf-8", "replace")
            found += [_SINGLE.get(one) or one * one.isprintable() for one in plain]
    return [name for name in found if name]


def mouse(name: str) -> tuple[str, int, int] | None:
    """Split the name of a mouse event, such as "click at 4,2", into its kind and the column and
    line, counted from 0. Returns None for a key."""
    kind, at, place = name.partition(" at ")
    column, _, line = place.partition(",")
    return (kind, int(column), int(line)) if at else None


def _mouse(sequence: bytes) -> str:
    """Return the name of a mouse event, or "" for other sequences."""
    found = _MOUSE.fullmatch(sequence)
    if found is None or found[1] not in _BUTTONS:
        return ""
    return f"{_BUTTONS[found[1]]} at {int(found[2]) - 1},{int(found[3]) - 1}"
