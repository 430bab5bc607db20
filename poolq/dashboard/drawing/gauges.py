"""Bars and sparklines, from the characters of a `Look`."""

import itertools
from collections.abc import Sequence

from poolq.dashboard.drawing.theme import Look

MINUTE = 60


def spark(values: Sequence[float], width: int, look: Look, many: int = MINUTE) -> str:
    """A minute of values, the newest at the right; means of neighbours where it is narrow. 0 is
    the lowest block, and any other value is higher; the greatest is a full one. `many`: how many
    values a whole minute has; fewer fill as much less of the width."""
    width, many = max(width, 0), max(many, 1)
    values = values[-many:]
    drawn = min(width, -(-len(values) * width // many))
    if not drawn:
        return " " * width
    shown = _means(values, drawn)
    most, levels = max(shown), look.levels
    if most <= 0:
        return (levels[0] * len(shown)).rjust(width)
    top = len(levels) - 1
    line = "".join(
        levels[min(top, 1 + int(value / most * (top - 1) + 0.5))] if value > 0 else levels[0]
        for value in shown
    )
    return line.rjust(width)


def _means(values: Sequence[float], width: int) -> Sequence[float]:
    """As many as `width`; fewer values stand in several places each."""
    if len(values) == width:
        return values
    ends = [number * len(values) // width for number in range(width + 1)]
    return [sum(values[a : max(b, a + 1)]) / max(b - a, 1) for a, b in itertools.pairwise(ends)]


def bar(part: float, whole: float, width: int, look: Look) -> str:
    """How much of the whole: nothing is empty, and only all of it is full."""
    if whole <= 0 or width <= 0:
        return look.empty * max(width, 0)
    filled = round(min(1.0, max(0.0, part / whole)) * width)
    if 0 < part < whole:
        filled = min(max(filled, 1), width - 1) if width > 1 else filled
    return look.full * filled + look.empty * (width - filled)
