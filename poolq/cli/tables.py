"""Tables, fields and JSON documents for the commands, on stdout.

On a terminal, tables fit the width: columns of low rank are left out, then elastic columns are cut.
Ids and numbers are never cut. Elsewhere nothing is left out or cut. Control characters are escaped,
so that no payload can manipulate the terminal.
"""

import os
import shutil
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from poolq.common.escaping import clean, clean_json, to_json

MIN_CELL_WIDTH = 8  # characters
COLUMN_GAP = "  "


class Column(NamedTuple):
    """A column. `right` aligns it right. On a narrow terminal it may be left out if it has a `rank`
    (the highest rank first), be cut if it is `elastic`, or continue on further lines (`wrap`)."""

    title: str
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


def show(as_json: bool, document: object, *lines: str) -> None:
    """Print a JSON document, or else these lines."""
    if as_json:
        print_json(document)
        return
    for line in lines:
        sys.stdout.write(f"{clean(line)}\n")


def print_table(
    columns: Sequence[Column],
    rows: Sequence[Sequence[object]],
    total: Sequence[object] = (),
    styles: Mapping[str, str] | None = None,
) -> None:
    """Print a table with `total` as its last line; `styles` maps texts of cells to the names of
    styles of a theme."""
    data = [*rows, total] if total else rows
    lines = [[clean(str(cell)) for cell in row] for row in data]
    lines.insert(0, [column.title for column in columns])
    widths = [max(map(_length, cells)) for cells in zip(*lines, strict=True)]
    kept: Sequence[int] = range(len(columns))
    paint = None
    if is_terminal():
        kept, widths = choose(columns, widths, shutil.get_terminal_size().columns)
        paint = _Painter(styles or {})
    for number, line in enumerate(lines):
        strong = number == 0 or (bool(total) and number == len(lines) - 1)
        for part in _wrapped(columns, widths, [line[at] for at in kept], kept):
            cells = []
            for at, text in zip(kept, part, strict=True):
                shown = _cut(text, widths[at])
                padding = " " * (widths[at] - _length(shown))
                styled = paint.cell(shown, strong) if paint else shown
                cells.append(padding + styled if columns[at].right else styled + padding)
            sys.stdout.write(COLUMN_GAP.join(cells).rstrip() + "\n")


def choose(
    columns: Sequence[Column], widths: Sequence[int], width: int
) -> tuple[Sequence[int], list[int]]:
    """Return the numbers of the columns that are shown on a terminal, and the widths of all columns
    (pure). `widths`: the widths that the cells need."""
    needed = [
        min(size, max(MIN_CELL_WIDTH, len(column.title))) if column.elastic or column.wrap else size
        for column, size in zip(columns, widths, strict=True)
    ]
    kept = list(range(len(columns)))
    while _line_width(kept, needed) > width and any(columns[at].rank for at in kept):
        kept.remove(max(kept, key=lambda at: (columns[at].rank, at)))
    flexible = [at for at in kept if columns[at].elastic or columns[at].wrap]
    most, shown = width, list(widths)
    while flexible and most > MIN_CELL_WIDTH and _line_width(kept, shown) > width:
        most -= 1
        for at in flexible:
            shown[at] = max(min(widths[at], most), needed[at])
    return kept, shown


def _line_width(kept: Sequence[int], widths: Sequence[int]) -> int:
    return sum(widths[at] for at in kept) + len(COLUMN_GAP) * (len(kept) - 1)


def _wrapped(
    columns: Sequence[Column], widths: Sequence[int], line: list[str], kept: Sequence[int]
) -> Iterator[list[str]]:
    """Yield the lines on the terminal that one line of the table takes."""
    parts = [
        textwrap.wrap(text, widths[at]) or [""]
        if columns[at].wrap and _length(text) > widths[at] else [text]
        for at, text in zip(kept, line, strict=True)
    ]  # fmt: skip
    for number in range(max(map(len, parts))):
        yield [part[number] if number < len(part) else "" for part in parts]


def _length(text: str) -> int:
    if text.isascii():
        return len(text)
    from poolq.styling.cells import width_of

    return width_of(text)


def _cut(text: str, width: int) -> str:
    if _length(text) <= width:
        return text
    from poolq.styling.cells import fit

    return fit(text, width - 1, cut="").rstrip() + "…"


class _Painter:
    """Styles the cells of a table for the terminal."""

    def __init__(self, styles: Mapping[str, str]) -> None:
        from poolq.styling.theme import theme_for

        self._theme = theme_for(os.environ)
        self._styles = styles
        self._plain = os.environ.get("TERM", "") in ("", "dumb")

    def cell(self, text: str, strong: bool) -> str:
        name = "strong" if strong else self._styles.get(text)
        if name is None or self._plain or not text:
            return text
        return str(getattr(self._theme, name).render(text))


def print_fields(fields: Mapping[str, object]) -> None:
    """Print a line per field, with aligned values. All lines of a value have the same indent."""
    width = max(map(len, fields)) + 2
    for name, value in fields.items():
        first, *more = [clean(line) for line in str(value).split("\n")]
        sys.stdout.write(f"{name + ':':<{width}}{first}".rstrip() + "\n")
        for line in more:
            sys.stdout.write(f"{'':<{width}}{line}".rstrip() + "\n")
