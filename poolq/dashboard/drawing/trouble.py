"""What is wrong, in words: the first thing to read."""

from rich.segment import Segment

from poolq.dashboard.drawing.cells import Line, clean, clip, fit, width_of
from poolq.dashboard.drawing.table import Scene
from poolq.dashboard.drawing.theme import PLAIN


def wanted(scene: Scene) -> int:
    """Lines that it would fill."""
    return max(1, len(scene.found))


def draw(scene: Scene, width: int, height: int) -> list[Line]:
    """At most `height` lines; what has no room is counted in the last one."""
    look = scene.look
    if not scene.found:
        return [[Segment(fit(f" {look.dot} no trouble", width, cut=""), look.good)]][:height]
    shown = list(scene.found[:height])
    more = len(scene.found) - len(shown)
    lines = []
    for number, one in enumerate(shown):
        subject = clean(f"{one.subject} {one.verdict}", ascii_only=look.ascii_only)
        text = clean(one.text, ascii_only=look.ascii_only)
        also = f" +{more} more" if more and number == len(shown) - 1 else ""
        start = fit(f"{look.mark} {subject}: ", min(width, width_of(subject) + 4), cut="")
        rest = max(0, width - width_of(start) - len(also))
        line = [
            Segment(start, look.level(one.level)),
            Segment(fit(text, rest, cut=look.cut) + also, PLAIN),
        ]
        lines.append(clip(line, width))
    return lines
