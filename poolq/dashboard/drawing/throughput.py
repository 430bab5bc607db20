"""Draws jobs per second by outcome: now, over 1 and 5 minutes, in total, and as a sparkline."""

from rich.segment import Segment
from rich.style import Style

from poolq.dashboard.drawing.cells import Line, clip, fit
from poolq.dashboard.drawing.gauges import spark
from poolq.dashboard.drawing.parts import Part, lay_out
from poolq.dashboard.drawing.theme import PLAIN, Theme
from poolq.monitor import amounts
from poolq.monitor.snapshot import Rate, Snapshot

KINDS = ("done", "failed", "retried", "limited")
TITLES = {"limited": "held back"}
NUMBERS_WIDTH = 46  # columns before the sparkline
SMALL_SPARK_WIDTH = 12  # columns of the sparkline in `small`


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
        Part(f"{TITLES['limited']} {amounts.rate(limited.now)}/s", style),
        Part(spark(limited.spark, SMALL_SPARK_WIDTH, theme), style, 2),
        Part(f"{amounts.count(waiting)} wait", theme.warn if waiting else theme.dim),
        Part(f"{amounts.count(limited.total)} in all", style, 1),
    ]
    return [_one(rates, theme, width), lay_out(parts, width)]


def draw(snapshot: Snapshot, theme: Theme, width: int) -> list[Line]:
    """Draw the titles, and a line for each kind."""
    rates = {kind: getattr(snapshot.throughput, kind) for kind in KINDS}
    title = f" {'PER SECOND':<12} {'NOW':>7} {'1 MIN':>7} {'5 MIN':>7} {'TOTAL':>7}  LAST 60 S"
    lines = [[Segment(fit(title, width, cut=""), theme.header)]]
    for kind, rate in rates.items():
        numbers = (amounts.rate(rate.now), amounts.rate(rate.minute), amounts.rate(rate.five))
        text = "".join(f"{number:>8}" for number in (*numbers, amounts.count(rate.total)))
        sparks = spark(rate.spark, min(60, max(0, width - NUMBERS_WIDTH - 2)), theme)
        line = [
            Segment(f" {TITLES.get(kind, kind):<12}", _style(kind, rate, theme)),
            Segment(f"{text}  ", PLAIN),
            Segment(sparks, _style(kind, rate, theme)),
        ]
        lines.append(clip(line, width))
    return lines


def _one(rates: dict[str, Rate], theme: Theme, width: int) -> Line:
    parts = []
    for number, (kind, rate) in enumerate(rates.items()):
        text = f"{TITLES.get(kind, kind)} {amounts.count(rate.total)}"
        if number == 0:
            sparks = spark(rate.spark, SMALL_SPARK_WIDTH, theme)
            text = f"{kind} {amounts.rate(rate.now)}/s {sparks}"
        parts.append(Part(text.rstrip(), _style(kind, rate, theme), number))
    return lay_out(parts, width)


def _style(kind: str, rate: Rate, theme: Theme) -> Style:
    if kind == "done":
        return theme.good
    if not rate.now and not any(rate.spark):
        return theme.dim
    return theme.bad if kind == "failed" else theme.warn
