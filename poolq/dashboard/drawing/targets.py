"""What the mouse points at. The first segment of each row and of each header carries a mark in its
style, so that a pane may be drawn anywhere on the screen."""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from rich.style import Style

from poolq.styling.cells import Line, width_of

#: The title of a header's column, and where the column begins and ends.
Span = tuple[str, int, int]


class Target(NamedTuple):
    """A row of a pane, or its header if `key` is empty. `column` is the title of the header's
    column, or None."""

    pane: str
    key: str = ""
    column: str | None = None


@lru_cache(maxsize=4096)
def mark_row(style: Style, pane: str, key: str, width: int) -> Style:
    """Return the style with the mark of a row of `width` columns."""
    return style + Style(meta={"pane": pane, "key": key, "width": width, "columns": ()})


@lru_cache(maxsize=256)
def mark_header(style: Style, pane: str, columns: tuple[Span, ...], width: int) -> Style:
    """Return the style with the mark of a pane's header."""
    return style + Style(meta={"pane": pane, "key": "", "width": width, "columns": columns})


def find(lines: Sequence[Line], x: int, y: int) -> Target | None:
    """Return what is drawn at column `x` of line `y`, counted from 0."""
    if not 0 <= y < len(lines):
        return None
    meta, start, at = {}, 0, 0
    for segment in lines[y]:
        if at > x:
            break
        found = segment.style.meta if segment.style else {}
        if "pane" in found:
            meta, start = found, at
        at += width_of(segment.text)
    if not meta or x >= start + meta["width"]:
        return None
    inside = (title for title, begin, end in meta["columns"] if begin <= x - start < end)
    return Target(meta["pane"], meta["key"], next(inside, None))
