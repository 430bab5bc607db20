"""Shows a pool without a screen: in full, in one line, or as a picture."""

import io
import re
from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.segment import Segment, Segments
from rich.terminal_theme import TerminalTheme

from poolq.dashboard.drawing import ansi, backlog_panel, frame, header, table, throughput
from poolq.dashboard.drawing.table import DrawContext
from poolq.dashboard.panes import PANES
from poolq.dashboard.screen_state import ScreenState
from poolq.engines.base import ServerInfo
from poolq.monitor import amounts
from poolq.monitor.alerts import alerts
from poolq.monitor.backlog import backlog
from poolq.monitor.snapshot import Snapshot
from poolq.styling.cells import Line, clean
from poolq.styling.theme import Theme, make_theme

#: The colours of a picture: background, foreground, and a terminal's 8 colours, normal and bright.
PICTURE_THEME = TerminalTheme(
    (17, 21, 28),
    (214, 218, 224),
    [(0, 0, 0), (232, 84, 84), (122, 190, 96), (229, 184, 76), (92, 148, 230), (190, 120, 210),
     (96, 178, 200), (214, 218, 224)],
    [(62, 70, 84), (240, 110, 110), (150, 210, 120), (240, 205, 110), (130, 175, 240),
     (210, 150, 225), (130, 200, 215), (255, 255, 255)],
)  # fmt: skip
#: The fonts that rich's SVG would load from a web server.
_FONTS = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)


def page(
    snapshot: Snapshot, theme: Theme, width: int, server: ServerInfo | None = None
) -> list[Line]:
    """Draw everything, one pane below the other, in as many lines as needed. `server`: what stores
    the jobs, if that is known."""
    context = DrawContext(snapshot, theme, ScreenState(pane=""), alerts(snapshot))
    lines = header.draw(snapshot, theme, width, 2, server)
    lines += frame.draw_alerts(context, width, len(context.alerts))
    lines += throughput.draw(snapshot, theme, width)
    lines.append(backlog_panel.line(backlog(snapshot), theme, width))
    for pane in PANES.values():
        lines += table.draw(pane, context, width, 1 + max(1, len(pane.rows(snapshot))))
    return lines


def to_text(lines: Sequence[Line], *, styled: bool) -> str:
    """Return the lines with escape sequences if `styled`, or else without trailing blanks."""
    if styled:
        return "".join(f"{ansi.line_text(line)}\n" for line in lines)
    plain = ("".join(segment.text for segment in line) for line in lines)
    return "".join(f"{line.rstrip()}\n" for line in plain)


def one_line(snapshot: Snapshot) -> str:
    """Describe the pool in one line, for a pipe or a dumb terminal."""
    pool, rates = snapshot.head, snapshot.throughput
    counts = {
        name: sum(getattr(queue, name) for queue in snapshot.queues)
        for name in ("ready", "delayed", "parked", "failed")
    }
    state = f"{pool.pool} {header.state_of(pool)} {header.busy_of(pool)}"
    parts = [
        f"{amounts.clock(snapshot.at)} {state}",
        ", ".join(
            f"{amounts.rate(getattr(rates, kind).now)} {throughput.WORDS.get(kind, kind)}/s"
            for kind in throughput.KINDS
        ),
        ", ".join(f"{count} {name}" for name, count in counts.items()),
        *(f"{one.subject} {one.verdict}: {one.text}" for one in alerts(snapshot)),
    ]
    return clean("; ".join(parts))


def _split_words(line: Line) -> Iterator[Segment]:
    """Split at blanks, so that each word gets its own position, since fonts differ in width and
    some viewers drop leading blanks."""
    for segment in line:
        for part in re.split(r"( {2,}|^ )", segment.text):
            if part:
                yield Segment(part, segment.style)


def picture(snapshot: Snapshot, size: tuple[int, int], state: ScreenState | None = None) -> str:
    """Draw the screen as an SVG document."""
    drawn = make_theme(colour=True, ascii_only=False)
    lines = frame.draw(snapshot, state or ScreenState(), drawn, size, 0.0)
    console = Console(
        record=True, file=io.StringIO(), width=size[0], height=size[1], force_terminal=True,
        color_system="truecolor", legacy_windows=False,
    )  # fmt: skip
    segments = [one for line in lines for one in (*_split_words(line), Segment("\n"))]
    console.print(Segments(segments), end="", soft_wrap=True)
    title = f"poolq top: {clean(snapshot.head.pool)}"
    return _FONTS.sub("", console.export_svg(title=title, unique_id="poolq", theme=PICTURE_THEME))
