"""Bars and sparklines, drawn with the characters of a `Theme`, and lines of parts. A narrow screen
omits the least important parts."""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from rich.segment import Segment
from rich.style import Style

from poolq.common.escaping import clean
from poolq.monitor import amounts
from poolq.styling.cells import Line, clip, line_width, width_of
from poolq.styling.theme import PLAIN, Theme

VALUES_PER_MINUTE = 60
MIN_SPARK_WIDTH = 4
GAP = "  "


def spark(values: Sequence[float], width: int, theme: Theme, many: int = VALUES_PER_MINUTE) -> str:
    """Draw a sparkline of the last minute, with the newest value at the right. `many` is the number
    of values in a minute; if there are fewer, the line is shorter. If there are more values than
    columns, each column shows a mean. Only 0 has the lowest block; the maximum has the full one."""
    return _spark(tuple(values[-many:]), max(width, 0), theme.levels, many)


@lru_cache(maxsize=512)  # most of them stay the same for a second or two
def _spark(values: tuple[float, ...], width: int, levels: str, many: int) -> str:
    if not width:
        return ""
    size, most, top = -(-many // width), max(values, default=0.0), len(levels) - 1
    # Counted from the newest value, so that all columns but the oldest show equally many values.
    groups = [values[max(0, end - size) : end] for end in range(len(values), 0, -size)]
    means = [sum(group) / len(group) for group in reversed(groups)]
    line = "".join(
        levels[min(top, 1 + int(mean / most * (top - 1) + 0.5))] if mean > 0 else levels[0]
        for mean in means
    )
    return line.rjust(width)


def labelled(
    values: Sequence[float], room: int, theme: Theme, many: int = VALUES_PER_MINUTE
) -> str:
    """Draw a sparkline with its time and its maximum, such as `60 s ▁▂▃ max 51`, in at most `room`
    columns. Returns "" if there is not enough room."""
    width = min(many, room - len("60 s  max 99999"))
    if width < MIN_SPARK_WIDTH:
        return ""
    most = amounts.rate(max(values[-many:], default=0.0))
    return f"60 s {spark(values, width, theme, many)} max {most:>5}"


def bar(part: float, whole: float, width: int, theme: Theme) -> str:
    """Draw a bar that is empty only if `part` is 0, and full only if it is at least `whole`."""
    if whole <= 0 or width <= 0:
        return theme.empty * max(width, 0)
    filled = round(min(1.0, max(0.0, part / whole)) * width)
    if 0 < part < whole:
        filled = min(max(filled, 1), width - 1) if width > 1 else filled
    return theme.full * filled + theme.empty * (width - filled)


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
