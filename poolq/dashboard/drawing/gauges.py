"""Bars and sparklines, from the characters of a `Theme`."""

from collections.abc import Sequence
from functools import lru_cache

from poolq.monitor import amounts
from poolq.styling.theme import Theme

VALUES_PER_MINUTE = 60
MIN_SPARK_WIDTH = 4
DETAIL_ROOM = 45  # columns of a sparkline and its labels in the detail of a row


def spark(values: Sequence[float], width: int, theme: Theme, many: int = VALUES_PER_MINUTE) -> str:
    """Draw a sparkline of the last minute, with the newest value at the right. `many` is the number
    of values in a minute; if there are fewer, the line is shorter. If `width` is at most half of
    `many`, each column shows a mean of several values, otherwise the oldest values are left out.
    Only 0 gets the lowest block, and a full one stands for the maximum, which `peak` returns."""
    return _spark(tuple(values), max(width, 0), theme.levels, many)


@lru_cache(maxsize=512)  # most of them stay the same for a second or two
def _spark(values: tuple[float, ...], width: int, levels: str, many: int) -> str:
    shown = _columns(values, width, many)
    most = peak(values, width, many)
    if most <= 0:
        return (levels[0] * len(shown)).rjust(width)
    top = len(levels) - 1
    line = "".join(
        levels[min(top, 1 + int(value / most * (top - 1) + 0.5))] if value > 0 else levels[0]
        for value in shown
    )
    return line.rjust(width)


def peak(values: Sequence[float], width: int, many: int = VALUES_PER_MINUTE) -> float:
    """Return the maximum of the values that a sparkline of this width covers."""
    return max(_newest(values, width, many), default=0.0)


def seconds_shown(width: int, many: int = VALUES_PER_MINUTE) -> int:
    """Return how many seconds a sparkline of this width covers."""
    return min(many, width * _values_per_column(width, many)) * 60 // many


def labelled(
    values: Sequence[float], room: int, theme: Theme, many: int = VALUES_PER_MINUTE
) -> str:
    """Draw a sparkline with the time that it shows and its maximum, such as `60 s ▁▂▃ max 51`, in
    at most `room` columns. Returns "" if there is not enough room."""
    width = room - len("60 s  max 99999")
    if width < MIN_SPARK_WIDTH:
        return ""
    width = min(width, many)
    most = amounts.rate(peak(values, width, many))
    return f"{seconds_shown(width, many)} s {spark(values, width, theme, many)} max {most:>5}"


def _values_per_column(width: int, many: int) -> int:
    return 1 if width <= 0 or 2 * width > many + 1 else -(-many // width)


def _newest(values: Sequence[float], width: int, many: int) -> Sequence[float]:
    """Return the newest values, as many as the columns can show."""
    covered = min(many, width * _values_per_column(width, many))
    return values[-covered:] if covered > 0 else ()


def _columns(values: Sequence[float], width: int, many: int) -> Sequence[float]:
    """Return a value for each column that is drawn. Groups of values are counted from the newest
    one, so that all columns but the oldest show means of equally many values."""
    values, size = _newest(values, width, many), _values_per_column(width, many)
    if width >= 2 * many:
        return [value for value in values for _ in range(width // many)]
    if size == 1:
        return values
    groups = [values[max(0, end - size) : end] for end in range(len(values), 0, -size)]
    return [sum(group) / len(group) for group in reversed(groups)]


def bar(part: float, whole: float, width: int, theme: Theme) -> str:
    """Draw a bar that is empty only if `part` is 0, and full only if it is at least `whole`."""
    if whole <= 0 or width <= 0:
        return theme.empty * max(width, 0)
    filled = round(min(1.0, max(0.0, part / whole)) * width)
    if 0 < part < whole:
        filled = min(max(filled, 1), width - 1) if width > 1 else filled
    return theme.full * filled + theme.empty * (width - filled)
