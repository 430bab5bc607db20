"""Draws jobs per second by outcome: now, over 1 and 5 minutes, in total, and as a sparkline; and
whether the queues' jobs are started as fast as they come.

Numbers are padded, so that what follows them keeps its place from frame to frame.
"""

from rich.segment import Segment
from rich.style import Style

from poolq.dashboard.drawing.gauges import (
    MIN_SPARK_WIDTH,
    VALUES_PER_MINUTE,
    Part,
    labelled,
    lay_out,
    spark,
)
from poolq.monitor import amounts
from poolq.monitor.backlog import GROWS, KEEPS_UP, SHRINKS, STEADY, Backlog
from poolq.monitor.snapshot import Rate, Snapshot
from poolq.styling.cells import Line, fit, full_line, width_of
from poolq.styling.theme import PLAIN, Theme

KINDS = ("done", "failed", "retried", "limited")
TITLES = {"limited": "held (times)"}  # a job counts each time that a limit holds it back
WORDS = {"limited": "times held back"}
NUMBERS_WIDTH = 48  # columns before the sparkline
PEAK_WIDTH = 7  # columns of the sparkline's maximum
MAX_SPARK_ROOM = 45  # columns of a sparkline and its labels in one line
OUTLOOK_WIDTH = 16  # columns of the longest outlook


def draw(snapshot: Snapshot, theme: Theme, width: int) -> list[Line]:
    """Draw the titles, and a line for each kind."""
    room = min(VALUES_PER_MINUTE, width - NUMBERS_WIDTH - PEAK_WIDTH)
    title = f"{'PER SECOND':<12} {'NOW':>7} {'1 MIN':>7} {'5 MIN':>7} {'TOTAL':>7}"
    if room >= MIN_SPARK_WIDTH:
        title += f"  {fit('LAST 60 S', room, cut='')}{'MAX':>{PEAK_WIDTH - 1}}"
    lines = [full_line(title, width, theme.header)]
    for kind in KINDS:
        rate = getattr(snapshot.throughput, kind)
        numbers = (amounts.rate(rate.now), amounts.rate(rate.minute), amounts.rate(rate.five))
        text = "".join(f"{number:>8}" for number in (*numbers, amounts.count(rate.total)))
        style = _style(kind, rate, theme)
        line = [Segment(f" {TITLES.get(kind, kind):<12}", style), Segment(f"{text}  ", PLAIN)]
        if room >= MIN_SPARK_WIDTH:
            most = amounts.rate(max(rate.spark, default=0.0))
            line.append(Segment(spark(rate.spark, room, theme), style))
            line.append(Segment(f"{most:>{PEAK_WIDTH - 1}}", PLAIN))
        lines.append(line)
    return lines


def small(snapshot: Snapshot, theme: Theme, width: int) -> Line:
    """Draw one line with the rate of done jobs and the totals of other outcomes."""
    parts = []
    for rank, kind in enumerate(KINDS):
        rate = getattr(snapshot.throughput, kind)
        if kind == "limited" and not rate.total:
            continue  # many applications have no limits
        number = f"{amounts.rate(rate.now):>5}/s" if kind == "done" else amounts.count(rate.total)
        parts.append(Part(f"{TITLES.get(kind, kind)} {number}", _style(kind, rate, theme), rank))
    done = snapshot.throughput.done
    return _with_spark(parts, 1, done.spark, theme.good, theme, width, VALUES_PER_MINUTE)


def backlog_line(found: Backlog, theme: Theme, width: int) -> Line:
    """Draw the backlog, the rates in and out, the outlook, and what else there is room for."""
    word, style = _outlook(found, theme)
    others = (("delayed", found.delayed), ("parked", found.parked), ("failed", found.failed))
    parts = [
        Part(f"ready {amounts.count(found.ready):>5}", style if found.state != KEEPS_UP else PLAIN),
        Part(f"in {amounts.rate(found.incoming):>5}/s", rank=1),
        Part(f"out {amounts.rate(found.outgoing):>5}/s", rank=1),
        Part(f"{word:<{OUTLOOK_WIDTH}}", style),
        Part(f"oldest {amounts.span(found.oldest):>6}", rank=2),
        Part(f"in {found.queue}" * bool(found.queue), rank=5),
        Part(", ".join(f"{amounts.count(count)} {name}" for name, count in others), rank=4),
    ]
    many = VALUES_PER_MINUTE // 2
    return _with_spark(parts, 6, found.spark, theme.accent, theme, width, many)


def _with_spark(
    parts: list[Part], at: int, values: tuple[float, ...], style: Style, theme: Theme,
    width: int, many: int,
) -> Line:  # fmt: skip
    """Draw the parts, and a sparkline behind the first `at` of them, if there is room for it."""
    taken = sum(width_of(part.text) + 2 for part in parts if part.rank < 4)
    sparks = labelled(values, min(MAX_SPARK_ROOM, width - taken - 2), theme, many)
    return lay_out([*parts[:at], Part(sparks, style, 3), *parts[at:]], width)


def _outlook(found: Backlog, theme: Theme) -> tuple[str, Style]:
    """Return in words how the backlog develops."""
    return {
        SHRINKS: (f"empty in {amounts.span(found.empty_in)}", theme.warn),
        GROWS: (f"grows by {amounts.rate(found.growth)}/s", theme.bad),
        STEADY: ("no clear trend", theme.warn),
        KEEPS_UP: (KEEPS_UP, theme.good),
    }.get(found.state, ("measuring", theme.dim))


def _style(kind: str, rate: Rate, theme: Theme) -> Style:
    if kind == "done":
        return theme.good
    if not rate.now and not any(rate.spark):
        return theme.dim
    return theme.bad if kind == "failed" else theme.warn
