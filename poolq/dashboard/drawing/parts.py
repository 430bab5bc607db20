"""Draws a line of parts; on a narrow screen, it omits the least important ones."""

from collections.abc import Sequence
from typing import NamedTuple

from rich.segment import Segment
from rich.style import Style

from poolq.common.escaping import clean
from poolq.styling.cells import Line, clip, line_width, width_of
from poolq.styling.theme import PLAIN

GAP = "  "


class Part(NamedTuple):
    """A text; an empty one is not drawn. A part of rank 0 is never omitted; the highest rank is
    omitted first."""

    text: str
    style: Style = PLAIN
    rank: int = 0


def lay_out(parts: Sequence[Part], width: int, right: Part | None = None) -> Line:
    """Draw the parts that fit side by side, with the part `right` at the end of the line."""
    shown = [part for part in (*parts, right) if part and part.text]
    room = max(0, width - 2)
    while sum(width_of(part.text) + len(GAP) for part in shown) - len(GAP) > room:
        least = max(part.rank for part in shown)
        if not least:
            break
        del shown[max(at for at, part in enumerate(shown) if part.rank == least)]
    line = [Segment(" ")]
    for part in shown:
        if part is right:
            line.append(Segment(" " * (width - 1 - line_width(line) - width_of(part.text))))
        line += [Segment(clean(part.text), part.style), Segment(GAP)]
    return clip(line, width)
