"""What the mouse points at. The first segment of each row and of each header carries a mark in its
style, so that a pane may be drawn anywhere on the screen."""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from rich.style import Style

from poolq.styling.cells import Line, width_of


class Target(NamedTuple):
    """A row of a pane, or its header if `key` is empty. `column` is the title of the header's
    column, or None."""

    pane: str
    key: str = ""
    column: str | None = None


@lru_cache(maxsize=4096)
def mark(
    style: Style, pane: str, key: str, width: int, titles: tuple[tuple[str, int], ...] = ()
) -> Style:
    """Return the style with the mark of a row of `width` columns. For a pane's header, `titles`
    holds the titles of the pane's columns, and the width of each."""
    return style + Style(meta={"pane": pane, "key": key, "width": width, "titles": titles})


def find(lines: Sequence[Line], x: int, y: int) -> Target | None:
    """Return what is drawn at column `x` of line `y`, counted from 0."""
    meta, start, at = {}, 0, 0
    for segment in lines[y] if 0 <= y < len(lines) else ():
        if at > x:
            break
        found = segment.style.meta if segment.style else {}
        if "pane" in found:
            meta, start = found, at
        at += width_of(segment.text)
    if not meta or x >= start + meta["width"]:
        return None
    for title, width in meta["titles"]:
        start += width
        if x < start:
            return Target(meta["pane"], "", title)
    return Target(meta["pane"], meta["key"])
