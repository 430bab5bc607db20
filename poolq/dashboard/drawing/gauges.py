"""Bars and sparklines, from the characters of a `Theme`."""

import itertools
from collections.abc import Sequence

from poolq.dashboard.drawing.theme import Theme

VALUES_PER_MINUTE = 60


def spark(values: Sequence[float], width: int, theme: Theme, many: int = VALUES_PER_MINUTE) -> str:
    """Draw a sparkline of a minute, with the newest value at the right. `many` is the number of
    values in a minute; if there are fewer, the line is shorter. If there are more values than
    columns, each column shows a mean. Only 0 gets the lowest block; the maximum gets a full one."""
    width, many = max(width, 0), max(many, 1)
    values = values[-many:]
    drawn = min(width, -(-len(values) * width // many))
    if not drawn:
        return " " * width
    shown = _means(values, drawn)
    most, levels = max(shown), theme.levels
    if most <= 0:
        return (levels[0] * len(shown)).rjust(width)
    top = len(levels) - 1
    line = "".join(
        levels[min(top, 1 + int(value / most * (top - 1) + 0.5))] if value > 0 else levels[0]
        for value in shown
    )
    return line.rjust(width)


def _means(values: Sequence[float], width: int) -> Sequence[float]:
    """Resample to `width` values. If `values` are fewer, repeat some of them."""
    if len(values) == width:
        return values
    ends = [number * len(values) // width for number in range(width + 1)]
    return [sum(values[a : max(b, a + 1)]) / max(b - a, 1) for a, b in itertools.pairwise(ends)]


def bar(part: float, whole: float, width: int, theme: Theme) -> str:
    """Draw a bar that is empty only if `part` is 0, and full only if it is at least `whole`."""
    if whole <= 0 or width <= 0:
        return theme.empty * max(width, 0)
    filled = round(min(1.0, max(0.0, part / whole)) * width)
    if 0 < part < whole:
        filled = min(max(filled, 1), width - 1) if width > 1 else filled
    return theme.full * filled + theme.empty * (width - filled)
