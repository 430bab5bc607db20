"""The alerts, in words."""

from rich.segment import Segment

from poolq.dashboard.drawing.cells import Line, clean, clip, fit, width_of
from poolq.dashboard.drawing.table import DrawContext
from poolq.dashboard.drawing.theme import PLAIN


def height_of(context: DrawContext) -> int:
    """The number of lines that all alerts need."""
    return max(1, len(context.alerts))


def draw(context: DrawContext, width: int, height: int) -> list[Line]:
    """At most `height` lines; the last one counts the alerts without room."""
    theme = context.theme
    if not context.alerts:
        return [[Segment(fit(f" {theme.dot} no trouble", width, cut=""), theme.good)]][:height]
    shown = list(context.alerts[:height])
    more = len(context.alerts) - len(shown)
    lines = []
    for number, one in enumerate(shown):
        subject = clean(f"{one.subject} {one.verdict}", ascii_only=theme.ascii_only)
        text = clean(one.text, ascii_only=theme.ascii_only)
        also = f" +{more} more" if more and number == len(shown) - 1 else ""
        start = fit(f"{theme.mark} {subject}: ", min(width, width_of(subject) + 4), cut="")
        rest = max(0, width - width_of(start) - len(also))
        facts = Segment(fit(text, rest, cut=theme.cut) + also, PLAIN)
        lines.append(clip([Segment(start, theme.level(one.level)), facts], width))
    return lines
