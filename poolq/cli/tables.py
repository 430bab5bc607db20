"""Tables, fields and JSON documents for the commands, on stdout.

On a terminal a table fits its width: elastic columns give way. Elsewhere nothing is ever cut.
Text of jobs is shown without control characters, so that no payload can steer a terminal.
"""

import shutil
import sys
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from poolq.common.escaping import clean, clean_json, to_json

WIDE = 100_000  # rich cuts at a console's width; here it never shall
LEAST = 8  # characters that are left of a cell
GAP = "  "


class Column(NamedTuple):
    """`right`: numbers. `elastic`: may be cut on a narrow terminal."""

    title: str
    right: bool = False
    elastic: bool = False


def print_json(data: object) -> None:
    """One document, indented."""
    import msgspec

    shown = clean_json(msgspec.json.format(to_json(data), indent=2))
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

    cells = [[clean(str(cell)) for cell in row] for row in rows]
    if sys.stdout.isatty():
        _fit(columns, cells, shutil.get_terminal_size().columns)
    table = Table(box=None, pad_edge=False, header_style="bold", show_footer=bool(total))
    for number, column in enumerate(columns):
        footer = str(total[number]) if total else ""
        justify: Literal["left", "right"] = "right" if column.right else "left"
        table.add_column(column.title, footer, justify=justify, no_wrap=True)
    for row in cells:
        table.add_row(*(Text(cell, style=(styles or {}).get(cell, "")) for cell in row))
    console = Console(width=WIDE, highlight=False)
    with console.capture() as capture:
        console.print(table)
    for line in capture.get().splitlines():
        sys.stdout.write(line.rstrip() + "\n")


def _fit(columns: Sequence[Column], cells: Sequence[list[str]], width: int) -> None:
    """Cut what is elastic, so that a line takes `width` characters if that can be."""
    fixed = sum(
        max([len(column.title), *(len(row[number]) for row in cells)]) + len(GAP)
        for number, column in enumerate(columns)
        if not column.elastic
    )
    most = max(width - fixed, LEAST)
    for row in cells:
        for number, column in enumerate(columns):
            if column.elastic and len(row[number]) > most:
                row[number] = row[number][: most - 1] + "…"


def print_fields(fields: Mapping[str, object]) -> None:
    """A line a field, the values aligned; further lines of a value are indented."""
    width = max(map(len, fields)) + 2
    for name, value in fields.items():
        first, *more = [clean(line) for line in str(value).split("\n")]
        sys.stdout.write(f"{name + ':':<{width}}{first}".rstrip() + "\n")
        for line in more:
            sys.stdout.write(f"{'':<{width}}{line}".rstrip() + "\n")
