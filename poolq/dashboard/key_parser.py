"""Turns what a terminal sends for keys and the mouse into names."""

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
#: The buttons of the mouse that have a meaning; others, and their releases, have none.
_BUTTONS = {b"0": "click", b"64": "wheel up", b"65": "wheel down"}
_OLD_MOUSE = b"\x1b[M"  # of terminals that know only the oldest form: three more bytes follow
_OLD_MOUSE_SIZE = 6
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
    ignored. A lone escape is the key "esc". The mouse's names are those that `mouse` splits."""
    found: list[str] = []
    while data:
        if data[:1] == b"\x1b":
            sequence, data = _sequence(data)
            name = "esc" if sequence == b"\x1b" else _SEQUENCES.get(sequence) or _mouse(sequence)
            found += [name] if name else []
            continue
        plain, escape, rest = data.partition(b"\x1b")
        data = escape + rest
        for one in plain.decode("utf-8", "replace"):
            if one in _SINGLE:
                found.append(_SINGLE[one])
            elif one.isprintable():
                found.append(one)
    return found


def mouse(name: str) -> tuple[str, int, int] | None:
    """Split the name of a mouse event, such as "click at 4,2", into its kind and the column and
    line, counted from 0. Returns None for a key."""
    kind, at, place = name.partition(" at ")
    column, _, line = place.partition(",")
    return (kind, int(column), int(line)) if at else None


def _mouse(sequence: bytes) -> str:
    """Return the name of a mouse event, or "" for other sequences."""
    if not (sequence.startswith(b"\x1b[<") and sequence.endswith(b"M")):
        return ""
    button, *place = sequence[3:-1].split(b";")
    if button not in _BUTTONS or len(place) != 2 or not all(map(bytes.isdigit, place)):
        return ""
    column, line = (int(one[:9]) - 1 for one in place)
    return f"{_BUTTONS[button]} at {column},{line}"


def _sequence(data: bytes) -> tuple[bytes, bytes]:
    """Split off the escape sequence at the beginning of the data."""
    if data[1:2] not in (b"[", b"O"):
        return data[:1], data[1:]
    if data.startswith(_OLD_MOUSE):
        return data[:_OLD_MOUSE_SIZE], data[_OLD_MOUSE_SIZE:]
    end = 2
    while end < len(data) and not 0x40 <= data[end] <= 0x7E:
        end += 1
    return data[: end + 1], data[end + 1 :]
