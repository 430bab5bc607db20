"""Draws jobs per second by outcome: now, over 1 and 5 minutes, in total, and as a sparkline."""

from rich.segment import Segment
from rich.style import Style

from poolq.dashboard.drawing.gauges import (
    MIN_SPARK_WIDTH,
    VALUES_PER_MINUTE,
    labelled,
    peak,
    seconds_shown,
    spark,
)
from poolq.dashboard.drawing.parts import Part, lay_out
from poolq.monitor import amounts
from poolq.monitor.snapshot import Rate, Snapshot
from poolq.styling.cells import Line, clip, fit, full_line, width_of
from poolq.styling.theme import PLAIN, Theme

KINDS = ("done", "failed", "retried", "limited")
TITLES = {"limited": "held (times)"}  # a job counts each time that a limit holds it back
WORDS = {"limited": "times held back"}
NUMBERS_WIDTH = 48  # columns before the sparkline
PEAK_WIDTH = 7  # columns of the sparkline's maximum
SMALL_SPARK_ROOM = 31  # columns of the sparkline and its labels in `small`


def small(snapshot: Snapshot, theme: Theme, width: int) -> list[Line]:
    """Draw one line with the rate of done jobs and the totals of other outcomes, and a second line
    about rate limits if they have held jobs back."""
    rates = {kind: getattr(snapshot.throughput, kind) for kind in KINDS}
    limited = rates["limited"]
    waiting = sum(limit.waiting for limit in snapshot.limits)
    if not limited.total and not waiting:
        return [_one(rates, theme, width)]
    del rates["limited"]
    style = _style("limited", limited, theme)
    parts = [
        Part(f"held back {amounts.rate(limited.now):>5}/s", style),
        Part(f"{amounts.count(waiting)} wait", theme.warn if waiting else theme.dim),
        Part(f"{amounts.count(limited.total)} times", style, 1),
    ]
    return [_one(rates, theme, width), _with_spark(parts, limited, style, theme, width)]


def draw(snapshot: Snapshot, theme: Theme, width: int) -> list[Line]:
    """Draw the titles, and a line for each kind."""
    rates = {kind: getattr(snapshot.throughput, kind) for kind in KINDS}
    room = min(VALUES_PER_MINUTE, width - NUMBERS_WIDTH - PEAK_WIDTH)
    title = f"{'PER SECOND':<12} {'NOW':>7} {'1 MIN':>7} {'5 MIN':>7} {'TOTAL':>7}"
    if room >= MIN_SPARK_WIDTH:
        shown = fit(f"LAST {seconds_shown(room)} S", room, cut="")
        title += f"  {shown}{'MAX':>{PEAK_WIDTH - 1}}"
    lines = [full_line(title, width, theme.header)]
    for kind, rate in rates.items():
        numbers = (amounts.rate(rate.now), amounts.rate(rate.minute), amounts.rate(rate.five))
        text = "".join(f"{number:>8}" for number in (*numbers, amounts.count(rate.total)))
        line = [
            Segment(f" {TITLES.get(kind, kind):<12}", _style(kind, rate, theme)),
            Segment(f"{text}  ", PLAIN),
        ]
        if room >= MIN_SPARK_WIDTH:
            most = amounts.rate(peak(rate.spark, room))
            line.append(Segment(spark(rate.spark, room, theme), _style(kind, rate, theme)))
            line.append(Segment(f"{most:>{PEAK_WIDTH - 1}}", PLAIN))
        lines.append(clip(line, width))
    return lines


def _one(rates: dict[str, Rate], theme: Theme, width: int) -> Line:
    parts = []
    for number, (kind, rate) in enumerate(rates.items()):
        text = f"{TITLES.get(kind, kind)} {amounts.count(rate.total)}"
        if number == 0:
            text = f"{kind} {amounts.rate(rate.now):>5}/s"
        parts.append(Part(text, _style(kind, rate, theme), number))
    return _with_spark(parts, rates["done"], _style("done", rates["done"], theme), theme, width)


def _with_spark(parts: list[Part], rate: Rate, style: Style, theme: Theme, width: int) -> Line:
    """Draw the parts, and a sparkline if there is room for it after the first one."""
    taken = sum(width_of(part.text) + 2 for part in parts)
    sparks = labelled(rate.spark, min(SMALL_SPARK_ROOM, width - taken - 2), theme)
    return lay_out([parts[0], Part(sparks, style, 9), *parts[1:]], width)


def _style(kind: str, rate: Rate, theme: Theme) -> Style:
    if kind == "done":
        return theme.good
    if not rate.now and not any(rate.spark):
        return theme.dim
    return theme.bad if kind == "failed" else theme.warn
