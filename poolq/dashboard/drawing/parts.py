"""A line of parts, of which the less important ones are left out where it is narrow."""

from collections.abc import Sequence
from typing import NamedTuple

from rich.segment import Segment
from rich.style import Style

from poolq.dashboard.drawing.cells import Line, clip, fit, width_of
from poolq.dashboard.drawing.theme import PLAIN


class Bit(NamedTuple):
    """A cleaned text. `rank`: 0 stays, the highest goes first."""

    text: str
    style: Style = PLAIN
    rank: int = 0


def choose(bits: Sequence[Bit], width: int, gap: int = 2) -> list[Bit]:
    """Those that fit side by side, in their order."""
    left = [bit for bit in bits if bit.text]
    while len(left) > 1 and sum(width_of(bit.text) + gap for bit in left) - gap > width:
        least = max(bit.rank for bit in left)
        if least == 0:
            break
        left.remove(next(bit for bit in reversed(left) if bit.rank == least))
    return left


def lay(
    bits: Sequence[Bit], width: int, *, under: Style = PLAIN, right: Sequence[Bit] = ()
) -> Line:
    """A whole line on the style `under`; `right` stands at its end, and goes before the rest."""
    whole = choose([*bits, *right], max(0, width - 2))
    ends = [bit for bit in whole if bit in right]
    starts = [bit for bit in whole if bit not in right]
    line: Line = [Segment(" ", under)]
    for number, bit in enumerate(starts):
        line.append(Segment(bit.text, under + bit.style))
        if number < len(starts) - 1:
            line.append(Segment("  ", under))
    tail = "  ".join(bit.text for bit in ends)
    taken = sum(width_of(segment.text) for segment in line)
    if taken > width:
        return clip(line, width)
    space = max(0, width - taken - width_of(tail) - 1)
    line.append(Segment(" " * space, under))
    line.append(Segment(fit(f"{tail} ", width - taken - space, cut=""), under))
    return line
