"""A pool without a screen: all of it once, a line now and then, a picture."""

import io
import re
from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.segment import Segment, Segments
from rich.terminal_theme import TerminalTheme

from poolq.dashboard.drawing import ansi, frame, header, table, throughput, trouble
from poolq.dashboard.drawing.cells import Line, clean
from poolq.dashboard.drawing.table import Scene
from poolq.dashboard.drawing.theme import Look, look
from poolq.dashboard.panes import PANES
from poolq.dashboard.screen_state import State
from poolq.monitor import amounts
from poolq.monitor.alerts import alerts
from poolq.monitor.snapshot import Snapshot

#: The colours of a picture: a terminal's 8 and their bright ones.
PAPER = TerminalTheme(
    (17, 21, 28),
    (214, 218, 224),
    [(0, 0, 0), (232, 84, 84), (122, 190, 96), (229, 184, 76), (92, 148, 230), (190, 120, 210),
     (96, 178, 200), (214, 218, 224)],
    [(62, 70, 84), (240, 110, 110), (150, 210, 120), (240, 205, 110), (130, 175, 240),
     (210, 150, 225), (130, 200, 215), (255, 255, 255)],
)  # fmt: skip
#: rich's picture would load them from another's server.
_FONTS = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)


def page(snapshot: Snapshot, look: Look, width: int) -> list[Line]:
    """Everything, one below the other, however many lines that takes."""
    scene = Scene(snapshot, look, State(pane=""), alerts(snapshot))
    lines = header.draw(snapshot, look, width, 2)
    lines += trouble.draw(scene, width, trouble.wanted(scene))
    lines += throughput.draw(snapshot, look, width)
    for pane in PANES.values():
        lines += table.draw(pane, scene, width, 1 + max(1, len(pane.rows(snapshot))))
    return lines


def to_text(lines: Sequence[Line], *, styled: bool) -> str:
    """With the terminal's styles, or plain and without blanks at the ends."""
    if styled:
        return "".join(f"{ansi.line_text(line)}\n" for line in lines)
    plain = ("".join(segment.text for segment in line) for line in lines)
    return "".join(f"{line.rstrip()}\n" for line in plain)


def one_line(snapshot: Snapshot) -> str:
    """The pool in a line, for a pipe or a terminal that knows no more."""
    pool, rates = snapshot.head, snapshot.throughput
    counts = {
        name: sum(getattr(queue, name) for queue in snapshot.queues)
        for name in ("ready", "delayed", "parked", "failed")
    }
    state = f"{pool.pool} {header.state_of(pool)} {pool.busy}/{pool.procs} busy"
    parts = [
        f"{amounts.clock(snapshot.at)} {state}",
        ", ".join(
            f"{amounts.rate(getattr(rates, kind).now)} {kind}/s" for kind in throughput.KINDS
        ),
        ", ".join(f"{count} {name}" for name, count in counts.items()),
        *(f"{one.subject} {one.verdict}: {one.text}" for one in alerts(snapshot)),
    ]
    return clean("; ".join(parts))


def _parted(line: Line) -> Iterator[Segment]:
    """Cut at blanks, so that every word has a place of its own: fonts differ in their widths, and
    some programs drop the blanks that a text begins with."""
    for segment in line:
        for part in re.split(r"( {2,}|^ )", segment.text):
            if part:
                yield Segment(part, segment.style)


def picture(snapshot: Snapshot, size: tuple[int, int], state: State | None = None) -> str:
    """The screen as an SVG document."""
    drawn = look(colour=True, ascii_only=False)
    lines = frame.draw(snapshot, state or State(), drawn, size, 0.0)
    console = Console(
        record=True, file=io.StringIO(), width=size[0], height=size[1], force_terminal=True,
        color_system="truecolor", legacy_windows=False,
    )  # fmt: skip
    segments = [one for line in lines for one in (*_parted(line), Segment("\n"))]
    console.print(Segments(segments), end="", soft_wrap=True)
    title = f"poolq top: {clean(snapshot.head.pool)}"
    return _FONTS.sub("", console.export_svg(title=title, unique_id="poolq", theme=PAPER))
