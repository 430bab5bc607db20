"""Tables, fields and JSON documents for the commands, on stdout.

On a terminal, elastic columns are cut to fit the width; elsewhere nothing is cut. Control
characters are escaped, so that no payload can manipulate the terminal.
"""

import shutil
import sys
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from poolq.common.escaping import clean, clean_json, to_json

UNLIMITED_WIDTH = 100_000  # rich cuts lines at this width
MIN_CELL_WIDTH = 8  # characters
COLUMN_GAP = "  "


class Column(NamedTuple):
    """A column. `right` aligns it right; if `elastic`, it may be cut on a narrow terminal."""

    title: str
    right: bool = False
    elastic: bool = False


def print_json(data: object) -> None:
    import msgspec

    shown = clean_json(msgspec.json.format(to_json(data), indent=2))
    sys.stdout.write(shown.decode() + "\n")


def print_table(
    columns: Sequence[Column],
    rows: Sequence[Sequence[object]],
    total: Sequence[object] = (),
    styles: Mapping[str, str] | None = None,
) -> None:
    """Print a table with `total` as its last line; `styles` maps texts of cells to their styles."""
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
    console = Console(width=UNLIMITED_WIDTH, highlight=False)
    with console.capture() as capture:
        console.print(table)
    for line in capture.get().splitlines():
        sys.stdout.write(line.rstrip() + "\n")


def _fit(columns: Sequence[Column], cells: Sequence[list[str]], width: int) -> None:
    """Cut elastic cells so that lines fit into `width` characters, if possible."""
    fixed = sum(
        max([len(column.title), *(len(row[number]) for row in cells)]) + len(COLUMN_GAP)
        for number, column in enumerate(columns)
        if not column.elastic
    )
    most = max(width - fixed, MIN_CELL_WIDTH)
    for row in cells:
        for number, column in enumerate(columns):
            if column.elastic and len(row[number]) > most:
                row[number] = row[number][: most - 1] + "…"


def print_fields(fields: Mapping[str, object]) -> None:
    """Print a line per field, with aligned values. All lines of a value have the same indent."""
    width = max(map(len, fields)) + 2
    for name, value in fields.items():
        first, *more = [clean(line) for line in str(value).split("\n")]
        sys.stdout.write(f"{name + ':':<{width}}{first}".rstrip() + "\n")
        for line in more:
            sys.stdout.write(f"{'':<{width}}{line}".rstrip() + "\n")
