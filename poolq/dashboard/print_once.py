"""Shows a pool in full, without a screen."""

from collections.abc import Sequence

from poolq.dashboard.drawing import frame, header, table, throughput
from poolq.dashboard.drawing.table import DrawContext
from poolq.dashboard.panes import PANES
from poolq.dashboard.screen_state import ScreenState
from poolq.dashboard.terminal import line_text
from poolq.engines.base import ServerInfo
from poolq.monitor.alerts import alerts
from poolq.monitor.backlog import backlog
from poolq.monitor.snapshot import Snapshot
from poolq.styling.cells import Line, to_ascii
from poolq.styling.theme import Theme


def page(
    snapshot: Snapshot, theme: Theme, width: int, server: ServerInfo | None = None
) -> list[Line]:
    """Draw everything, one pane below the other, in as many lines as needed. `server`: what stores
    the jobs, if that is known."""
    context = DrawContext(snapshot, theme, ScreenState(pane=""), alerts(snapshot))
    lines = header.draw(snapshot, theme, width, 2, server)
    lines += frame.draw_alerts(context, width, len(context.alerts))
    lines += throughput.draw(snapshot, theme, width)
    lines.append(throughput.backlog_line(backlog(snapshot), theme, width))
    for pane in PANES.values():
        lines += table.draw(
            pane, context, width, 1 + max(1, len(pane.rows(snapshot, context.state)))
        )
    return [to_ascii(line) if theme.ascii_only else line for line in lines]


def to_text(lines: Sequence[Line], *, styled: bool) -> str:
    """Return the lines with escape sequences if `styled`, or else without trailing blanks."""
    if styled:
        return "".join(f"{line_text(line)}\n" for line in lines)
    plain = ("".join(segment.text for segment in line) for line in lines)
    return "".join(f"{line.rstrip()}\n" for line in plain)
