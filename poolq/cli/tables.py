"""Tables, fields and JSON documents for the commands, on stdout.

On a terminal, tables fit the width: columns with a `rank` are left out, then elastic columns are
cut. Ids and numbers are never cut. Elsewhere nothing is left out or cut. Control characters are
escaped, so that no payload can manipulate the terminal.
"""

import os
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from itertools import zip_longest
from typing import Any, NamedTuple

from poolq.cli.options import wants_json, warn
from poolq.common.escaping import clean, clean_json, to_json

MIN_CELL_WIDTH = 8  # characters
GAP = 2  # characters between two columns


class Column(NamedTuple):
    """A column. `value` returns what a row shows in it; None is shown as a dash. `right`: align to
    the right. `rank`: if not 0, a narrow terminal may leave the column out, the highest rank first.
    `elastic`: it may cut the texts. `wrap`: it may continue the texts on further lines."""

    title: str
    value: Callable[[Any], object]
    right: bool = False
    elastic: bool = False
    wrap: bool = False
    rank: int = 0


def is_terminal() -> bool:
    return sys.stdout is not None and sys.stdout.isatty()


def print_json(data: object) -> None:
    import msgspec

    shown = clean_json(msgspec.json.format(to_json(data), indent=2))
    sys.stdout.write(shown.decode() + "\n")


def show(document: object, *lines: str) -> None:
    """Print the JSON document with --json, and these lines without it."""
    if wants_json():
        print_json(document)
        return
    for line in lines:
        sys.stdout.write(f"{clean(line)}\n")


def show_list(
    document: object,
    columns: Sequence[Column],
    rows: Sequence[object],
    none: str,
    styles: Mapping[str, str] | None = None,
    total: object = None,
) -> None:
    """Print the JSON document with --json. Without it, print a table, or `none` if it is empty."""
    if wants_json():
        print_json(document)
    elif rows:
        print_table(columns, rows, styles, total)
    else:
        warn(none)


def print_table(
    columns: Sequence[Column],
    rows: Sequence[object],
    styles: Mapping[str, str] | None = None,
    total: object = None,
) -> None:
    """Print a table of these rows and a row for their `total`. `styles` maps the text of a cell to
    the name of a style of the theme."""
    data = [*rows, total] if total is not None else rows
    values = [[column.value(row) for column in columns] for row in data]
    lines = [["-" if one is None else clean(str(one)) for one in row] for row in values]
    lines.insert(0, [column.title for column in columns])
    if is_terminal():
        _print_fitted(columns, lines, styles or {}, total=total is not None)
        return
    widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
    for line in lines:
        cells = [
            f"{text:>{width}}" if column.right else f"{text:<{width}}"
            for text, width, column in zip(line, widths, columns, strict=True)
        ]
        sys.stdout.write((" " * GAP).join(cells).rstrip() + "\n")


def fit(
    columns: Sequence[Column], widths: Sequence[int], width: int
) -> tuple[Sequence[int], list[int]]:
    """Return the numbers of the columns that are shown on a terminal, and the widths of all columns
    (pure). `widths`: the widths that the cells need."""
    flexible = [column.elastic or column.wrap for column in columns]
    least = [
        min(size, max(MIN_CELL_WIDTH, len(column.title))) if can_shrink else size
        for column, size, can_shrink in zip(columns, widths, flexible, strict=True)
    ]
    kept = list(range(len(columns)))
    while _line_width(kept, least) > width and any(columns[at].rank for at in kept):
        kept.remove(max(kept, key=lambda at: (columns[at].rank, at)))
    most, shown = width, list(widths)
    while most > MIN_CELL_WIDTH and _line_width(kept, shown) > width:
        most -= 1
        shown = [
            max(min(size, most), low) if can_shrink else size
            for size, low, can_shrink in zip(widths, least, flexible, strict=True)
        ]
    return kept, shown


def _line_width(kept: Sequence[int], widths: Sequence[int]) -> int:
    return sum(widths[at] + GAP for at in kept) - GAP


def _print_fitted(
    columns: Sequence[Column],
    lines: Sequence[Sequence[str]],
    styles: Mapping[str, str],
    *,
    total: bool,
) -> None:
    """Print a table on the terminal. The title and the total are emphasised."""
    from poolq.styling import cells
    from poolq.styling.theme import PLAIN, theme_for

    theme, is_dumb = theme_for(os.environ), os.environ.get("TERM", "") in ("", "dumb")
    needed = [max(map(cells.width_of, column)) for column in zip(*lines, strict=True)]
    kept, widths = fit(columns, needed, shutil.get_terminal_size().columns)

    def cell(at: int, text: str, style: str) -> str:
        shown = cells.fit(text, widths[at])
        blanks = shown[len(shown.rstrip()) :]
        painted = PLAIN if is_dumb or not style else getattr(theme, style)
        shown = painted.render(shown.rstrip())
        return blanks + shown if columns[at].right else shown + blanks

    for number, line in enumerate(lines):
        strong = number == 0 or (total and number == len(lines) - 1)
        styled = ["strong" if strong else styles.get(line[at], "") for at in kept]
        parts = [
            cells.wrap_words(line[at], widths[at]) if columns[at].wrap else line[at : at + 1]
            for at in kept
        ]
        for below in zip_longest(*parts, fillvalue=""):
            shown = map(cell, kept, below, styled)
            sys.stdout.write((" " * GAP).join(shown).rstrip() + "\n")


def print_fields(fields: Mapping[str, object]) -> None:
    """Print a line per field, with aligned values. All lines of a value have the same indent."""
    width = max(map(len, fields)) + 2
    for name, value in fields.items():
        first, *more = [clean(line) for line in str(value).split("\n")]
        sys.stdout.write(f"{name + ':':<{width}}{first}".rstrip() + "\n")
        for line in more:
            sys.stdout.write(f"{'':<{width}}{line}".rstrip() + "\n")
