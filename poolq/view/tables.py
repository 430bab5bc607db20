"""Tables, fields and JSON documents for the commands, on stdout.

On a terminal a table fits its width: elastic columns give way. Elsewhere nothing is ever cut.
Text of jobs is shown without control characters, so that no payload can steer a terminal.
"""

import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

WIDE = 100_000  # columns; for a file or pipe


class Column(NamedTuple):
    """`right`: numbers. `elastic`: may be cut on a narrow terminal. `style`: as rich has it."""

    title: str
    right: bool = False
    elastic: bool = False


def print_json(data: object) -> None:
    """One document, indented."""
    import msgspec

    shown = msgspec.json.format(msgspec.json.encode(data), indent=2)
    sys.stdout.write(shown.decode() + "\n")


def print_table(
    columns: Sequence[Column],
    rows: Sequence[Sequence[object]],
    total: Sequence[object] = (),
    styles: Mapping[str, str] | None = None,
) -> None:
    """A table with a last line `total`; `styles` colours cells by their text, on a terminal."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    on_terminal = sys.stdout.isatty()
    table = Table(box=None, pad_edge=False, header_style="bold", show_footer=bool(total))
    for number, column in enumerate(columns):
        table.add_column(
            column.title,
            Text(str(total[number])) if total else "",
            justify="right" if column.right else "left",
            no_wrap=True,
            overflow="ellipsis" if column.elastic else "fold",
            min_width=8 if column.elastic else _widest(column, number, rows, total),
        )
    for row in rows:
        cells = [clean(str(cell)) for cell in row]
        table.add_row(*(Text(cell, style=(styles or {}).get(cell, "")) for cell in cells))
    console = Console(width=None if on_terminal else WIDE, soft_wrap=True, highlight=False)
    with console.capture() as capture:
        console.print(table, soft_wrap=False)
    for line in capture.get().splitlines():
        sys.stdout.write(line.rstrip() + "\n")


def _widest(
    column: Column, number: int, rows: Sequence[Sequence[object]], total: Sequence[object]
) -> int:
    cells = [column.title, *(clean(str(row[number])) for row in rows)]
    return max(map(len, [*cells, str(total[number])] if total else cells))


def print_fields(fields: Mapping[str, object]) -> None:
    """A line a field, the values aligned; further lines of a value are indented."""
    width = max(map(len, fields)) + 2
    for name, value in fields.items():
        first, *more = [clean(line) for line in str(value).split("\n")]
        sys.stdout.write(f"{name + ':':<{width}}{first}".rstrip() + "\n")
        for line in more:
            sys.stdout.write(f"{'':<{width}}{line}".rstrip() + "\n")


def clean(text: str) -> str:
    """On one line and without anything that a terminal obeys."""
    return "".join(ch if ch.isprintable() else ascii(ch)[1:-1] for ch in text)


def local(micros: int) -> str:
    """Microseconds since the epoch, for a person: local time to the second."""
    return datetime.fromtimestamp(micros / 1e6, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def utc(micros: int) -> str:
    """Microseconds since the epoch, for a program: ISO 8601, UTC."""
    whole, part = divmod(micros, 1_000_000)
    at = datetime.fromtimestamp(whole, UTC).replace(microsecond=part)
    return at.isoformat(timespec="microseconds").replace("+00:00", "Z")


def span(seconds: float) -> str:
    """A duration for a person, its two largest units: 1d 2h, 3m 20s, 0.25s."""
    if seconds < 60:
        return f"{seconds:.2f}".rstrip("0").rstrip(".") + "s"
    parts = []
    rest = int(seconds)
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count}{unit}")
    return " ".join(parts[:2])
