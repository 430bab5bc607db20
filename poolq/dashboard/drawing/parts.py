"""Draws a line of parts; on a narrow screen, it omits the least important ones."""

from collections.abc import Sequence
from typing import NamedTuple

from rich.segment import Segment
from rich.style import Style

from poolq.styling.cells import Line, clip, fit, line_width, width_of
from poolq.styling.theme import PLAIN


class Part(NamedTuple):
    """A cleaned text. A part of rank 0 is never omitted; the highest rank is omitted first."""

    text: str
    style: Style = PLAIN
    rank: int = 0


def choose_parts(parts: Sequence[Part], width: int, gap: int = 2) -> list[Part]:
    """Return the parts that fit side by side, in their order."""
    left = [part for part in parts if part.text]
    taken = sum([width_of(part.text) + gap for part in left]) - gap
    while len(left) > 1 and taken > width:
        least = max([part.rank for part in left])
        if least == 0:
            break
        at = max(number for number, part in enumerate(left) if part.rank == least)
        taken -= width_of(left.pop(at).text) + gap
    return left


def lay_out(
    parts: Sequence[Part], width: int, *, under: Style = PLAIN, right: Sequence[Part] = ()
) -> Line:
    """Draw a full line in the style `under`, with the parts in `right` at its end."""
    whole = choose_parts([*parts, *right], max(0, width - 2))
    ends = [part for part in whole if any(part is one for one in right)]
    starts = [part for part in whole if all(part is not one for one in right)]
    line: Line = [Segment(" ", under)]
    for number, part in enumerate(starts):
        line.append(Segment(part.text, part.style if under is PLAIN else under + part.style))
        if number < len(starts) - 1:
            line.append(Segment("  ", under))
    tail = "  ".join(part.text for part in ends)
    taken = line_width(line)
    if taken > width:
        return clip(line, width)
    space = max(0, width - taken - width_of(tail) - 1)
    line.append(Segment(" " * space, under))
    line.append(Segment(fit(f"{tail} ", width - taken - space, cut=""), under))
    return line
