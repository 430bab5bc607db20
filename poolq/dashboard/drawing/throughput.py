"""How many jobs come to which end, per second: now, over minutes, in all, and the last minute."""

from rich.segment import Segment
from rich.style import Style

from poolq.dashboard.drawing.cells import Line, clip, fit
from poolq.dashboard.drawing.gauges import spark
from poolq.dashboard.drawing.parts import Bit, lay
from poolq.dashboard.drawing.theme import PLAIN, Look
from poolq.monitor import amounts
from poolq.monitor.snapshot import Rate, Snapshot

KINDS = ("done", "failed", "retried", "limited")
TITLES = {"limited": "rate-limited"}
LINES = 1 + len(KINDS)
NUMBERS = 46  # columns before the sparkline
SMALL = 12  # columns of a sparkline where all stands in one line


def small(snapshot: Snapshot, look: Look, width: int) -> list[Line]:
    """One line: how many a second are done, and how many in all were not; and where rate limits
    have put jobs off, one of that."""
    rates = {kind: getattr(snapshot.throughput, kind) for kind in KINDS}
    limited = rates["limited"]
    waiting = sum(limit.waiting for limit in snapshot.limits)
    if not limited.total and not waiting:
        return [_one(rates, look, width)]
    del rates["limited"]
    style = _style("limited", limited, look)
    bits = [
        Bit(f"rate-limited {amounts.rate(limited.now)}/s", style),
        Bit(spark(limited.spark, SMALL, look), style, 2),
        Bit(f"{amounts.count(waiting)} wait", look.warn if waiting else look.dim),
        Bit(f"{amounts.count(limited.total)} in all", style, 1),
    ]
    return [_one(rates, look, width), lay(bits, width)]


def draw(snapshot: Snapshot, look: Look, width: int) -> list[Line]:
    """LINES lines."""
    rates = {kind: getattr(snapshot.throughput, kind) for kind in KINDS}
    title = f" {'PER SECOND':<12} {'NOW':>7} {'1 MIN':>7} {'5 MIN':>7} {'TOTAL':>7}  LAST 60 S"
    lines = [[Segment(fit(title, width, cut=""), look.header)]]
    for kind, rate in rates.items():
        numbers = (amounts.rate(rate.now), amounts.rate(rate.minute), amounts.rate(rate.five))
        text = "".join(f"{number:>8}" for number in (*numbers, amounts.count(rate.total)))
        line = [
            Segment(f" {TITLES.get(kind, kind):<12}", _style(kind, rate, look)),
            Segment(f"{text}  ", PLAIN),
            Segment(
                spark(rate.spark, min(60, max(0, width - NUMBERS - 2)), look),
                _style(kind, rate, look),
            ),
        ]
        lines.append(clip(line, width))
    return lines


def _one(rates: dict[str, Rate], look: Look, width: int) -> Line:
    bits = []
    for number, (kind, rate) in enumerate(rates.items()):
        text = f"{TITLES.get(kind, kind)} {amounts.count(rate.total)}"
        if number == 0:
            text = f"{kind} {amounts.rate(rate.now)}/s {spark(rate.spark, SMALL, look)}"
        bits.append(Bit(text.rstrip(), _style(kind, rate, look), number))
    return lay(bits, width)


def _style(kind: str, rate: Rate, look: Look) -> Style:
    if kind == "done":
        return look.good
    if not rate.now and not any(rate.spark):
        return look.dim
    return look.bad if kind == "failed" else look.warn
