"""The keys: what each does, and how what a terminal sends becomes a key's name."""

from typing import NamedTuple


class Key(NamedTuple):
    """`short`: for the last line of the screen; `acts`: it changes something."""

    keys: str
    what: str
    short: str = ""
    acts: bool = False


KEYS = (
    Key("?", "this help", "help"),
    Key("tab, shift-tab", "the next or previous pane", "pane"),
    Key("up, down, j, k", "select a row"),
    Key("page up, page down, home, end", "jump a page, or to the first or last row"),
    Key("enter", "details of a row: payload, error, traceback, a worker's stack", "detail"),
    Key("esc", "back; remove the filter"),
    Key("/", "show only rows that contain some text", "filter"),
    Key("p", "pause or resume the selected queue", "pause", acts=True),
    Key("r", "put the selected failed job back into its queue", "retry", acts=True),
    Key("+, -", "add or remove a worker", "workers", acts=True),
    Key("R", "reload the application's code; asks", "reload", acts=True),
    Key("D", "drain: finish running jobs, then end the pool; asks", "drain and stop", acts=True),
    Key("X", "permanently delete the selected failed job; asks", "forget", acts=True),
    Key("q", "quit; in the dashboard of 'poolq run', drain the pool; asks", "leave"),
    Key("ctrl-l", "redraw the screen"),
    Key("ctrl-z", "suspend; 'fg' resumes"),
)

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
}  # fmt: skip


READ = 4096  # bytes at once


def whole(data: bytes) -> tuple[bytes, bytes]:
    """What can be parsed now, and the beginning of a sequence that a read has cut."""
    at = data.rfind(b"\x1b")
    last = data[at:] if at >= 0 else b""
    begun = last[1:2] in (b"[", b"O") and not any(0x40 <= one <= 0x7E for one in last[2:])
    if begun or (last == b"\x1b" and len(data) >= READ):
        return data[:at], last
    return data, b""


def parse(data: bytes) -> list[str]:
    """The names of keys, printable ones as they are; sequences that nobody knows are passed over.
    A lone escape is the key of that name."""
    found: list[str] = []
    while data:
        if data[:1] == b"\x1b":
            sequence, data = _sequence(data)
            name = "esc" if sequence == b"\x1b" else _SEQUENCES.get(sequence, "")
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


def _sequence(data: bytes) -> tuple[bytes, bytes]:
    """What an escape begins, and the rest."""
    if data[1:2] not in (b"[", b"O"):
        return data[:1], data[1:]
    end = 2
    while end < len(data) and not 0x40 <= data[end] <= 0x7E:
        end += 1
    return data[: end + 1], data[end + 1 :]
