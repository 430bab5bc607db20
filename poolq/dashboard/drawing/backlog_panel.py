"""Draws whether the queues' jobs are started as fast as they come, in one line or in a panel.

Numbers are padded, so that what follows them keeps its place from frame to frame.
"""

from rich.segment import Segment
from rich.style import Style

from poolq.dashboard.drawing.gauges import VALUES_PER_MINUTE, labelled
from poolq.dashboard.drawing.parts import Part, lay_out
from poolq.monitor import amounts
from poolq.monitor.backlog import GROWS, KEEPS_UP, SHRINKS, STEADY, Backlog
from poolq.styling.cells import Line, clean, fit, full_line, width_of
from poolq.styling.theme import PLAIN, Theme

OUTLOOK_WIDTH = 16  # columns of the longest outlook
MAX_SPARK_ROOM = 45  # columns of the sparkline and its labels


def line(found: Backlog, theme: Theme, width: int) -> Line:
    """Draw the backlog, the rates in and out, and the outlook, in one line."""
    word, style = _outlook(found, theme)
    parts = [
        Part(f"ready {amounts.count(found.ready):>5}", style if found.state != KEEPS_UP else PLAIN),
        Part(f"in {amounts.rate(found.incoming):>5}/s", rank=1),
        Part(f"out {amounts.rate(found.outgoing):>5}/s", rank=1),
        Part(f"{word:<{OUTLOOK_WIDTH}}", style),
        Part(f"oldest {amounts.span(found.oldest):>6}", rank=2),
    ]
    taken = sum(width_of(part.text) + 2 for part in parts)
    room = min(MAX_SPARK_ROOM, width - taken - 2)
    sparks = labelled(found.spark, room, theme, VALUES_PER_MINUTE // 2)
    return lay_out([*parts, Part(sparks, theme.accent, 3)], width)


def panel(found: Backlog, theme: Theme, width: int) -> list[Line]:
    """Draw the same in as many lines as the throughput takes."""
    word, style = _outlook(found, theme)
    queue = clean(found.queue, ascii_only=theme.ascii_only)
    oldest = f"{amounts.span(found.oldest)} in {queue}" if found.ready else amounts.DASH
    room = min(MAX_SPARK_ROOM + 15, width - 24)
    sparks = labelled(found.spark, room, theme, VALUES_PER_MINUTE // 2)
    pace = f"{amounts.rate(found.incoming):>5} in, {amounts.rate(found.outgoing):>5} out"
    others = (
        f"{amounts.count(found.delayed)} delayed, {amounts.count(found.parked)} parked, "
        f"{amounts.count(found.failed)} failed"
    )
    rows = [
        ("ready", f"{amounts.count(found.ready):>5} {sparks}", theme.accent),
        ("per second", f"{pace}: {word}", style),
        ("oldest", oldest, PLAIN),
        ("others", others, PLAIN),
    ]
    lines = [full_line("BACKLOG", width, theme.header)]
    for label, text, look in rows:
        shown = fit(text, max(0, width - 13), cut=theme.cut)
        lines.append([Segment(f" {label:<12}", theme.dim), Segment(shown, look)])
    return lines


def _outlook(found: Backlog, theme: Theme) -> tuple[str, Style]:
    """Return in words how the backlog develops."""
    if found.state == SHRINKS:
        return f"empty in {amounts.span(found.empty_in)}", theme.warn
    if found.state == GROWS:
        return f"grows by {amounts.rate(found.growth)}/s", theme.bad
    if found.state == STEADY:
        return "no clear trend", theme.warn
    return (KEEPS_UP, theme.good) if found.state == KEEPS_UP else ("measuring", theme.dim)
