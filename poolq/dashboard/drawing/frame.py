"""The layout of the whole screen, for any size.

From top to bottom, it shows the header, the alerts, the throughput and the backlog, the panes and
the keys. A small screen shows little but the focused pane; a wide screen shows panes side by side.
From FULL_HEAD_HEIGHT lines on, the height of each part above the panes is fixed, so that alerts
that come and go do not move the panes. But if a pane is cut, the panes get the empty lines above
them, too. One pane may have the whole screen below the header.
"""

from collections.abc import Sequence

from rich.segment import Segment

from poolq.dashboard.drawing import detail, footer, header, layout, open_list, table, throughput
from poolq.dashboard.drawing.layout import PaneArea
from poolq.dashboard.drawing.table import DrawContext
from poolq.dashboard.drawing.targets import mark
from poolq.dashboard.panes import PANES
from poolq.dashboard.screen_state import PROBLEMS, ScreenState
from poolq.monitor.alerts import alerts
from poolq.monitor.backlog import backlog
from poolq.monitor.snapshot import Snapshot
from poolq.styling import cells
from poolq.styling.cells import Line, clip, fit, width_of
from poolq.styling.theme import PLAIN, Theme

FULL_HEAD_HEIGHT = 22  # minimum lines for the whole head and throughput
TALL_HEIGHT = 40  # minimum lines for TALL_ALERTS
ALERTS, TALL_ALERTS = 3, 5  # lines of alerts
NARROW_WIDTH = 80  # columns below which an alert has no room for a module's name
ROOM_FOR_SUCCESSOR = 14  # minimum lines of the panes to keep one free for another worker
BACKLOG_ROOM = 12  # lines below the header that a small screen needs to show the backlog


def draw(
    snapshot: Snapshot, state: ScreenState, theme: Theme, size: tuple[int, int], now: float
) -> list[Line]:
    """Draw exactly `height` lines of at most `width` columns; `size` is (width, height)."""
    width, height = size
    context = DrawContext(snapshot, theme, state, alerts(snapshot))
    tall = height >= FULL_HEAD_HEIGHT
    lines = header.draw(snapshot, theme, width, 2 if tall else 1, state.failures.server)
    room = height - len(lines) - 1
    if state.detail is not None:
        lines += detail.draw(state.detail, context, width, room)
    elif state.jobs is not None:
        lines += open_list.draw(state.jobs, context, width, room)
    else:
        lines += _overview(context, width, room)
    lines = lines[: height - 1]
    lines += [[] for _ in range(height - 1 - len(lines))]
    foot = footer.draw(state, theme, (width, max(1, height // 5)), now, snapshot)
    lines = [*lines[: max(0, height - len(foot))], *foot][-height:]
    return list(map(cells.to_ascii, lines)) if theme.ascii_only else lines


def _overview(context: DrawContext, width: int, room: int) -> list[Line]:
    """Draw the summary and the panes."""
    summary: list[Line] = []
    if room > 2 and not context.state.zoomed:
        summary = [clip(line, width) for line in _summary(context, width, room)]
    areas, cut = _areas(context, width, max(0, room - len(summary)))
    if cut and [] in summary:
        summary = [line for line in summary if line]
        areas, _ = _areas(context, width, room - len(summary))
    return summary + _panes(context, areas, width)


def _summary(context: DrawContext, width: int, room: int) -> list[Line]:
    """Draw the alerts, the throughput and the backlog."""
    theme, snapshot = context.theme, context.snapshot
    waiting = throughput.backlog_line(backlog(snapshot), theme, width)
    if room < FULL_HEAD_HEIGHT - 3:
        lines = draw_alerts(context, width, 1 if room < 8 else ALERTS)
        lines += [waiting] * (room >= BACKLOG_ROOM)
        return [*lines, throughput.small(snapshot, theme, width)] if room >= 6 else lines
    most = TALL_ALERTS if room >= TALL_HEIGHT - 3 else ALERTS
    lines = draw_alerts(context, width, most)
    lines += [[] for _ in range(most - len(lines))]
    return [*lines, *throughput.draw(snapshot, theme, width), waiting]


def draw_alerts(context: DrawContext, width: int, most: int) -> list[Line]:
    """Draw at most `most` lines, one for each alert; the last line counts those left out."""
    theme = context.theme
    if not context.alerts:
        return [cells.full_line(f"{theme.dot} no trouble", width, theme.good)]
    more, narrow = len(context.alerts) - most, width < NARROW_WIDTH
    lines = []
    for number, one in enumerate(context.alerts[:most], 1):
        also = f" +{more}{' more' * (not narrow)}" * (more > 0 and number == most)
        start, text = f"{theme.mark} {one.subject} {one.verdict}: ", one.text
        if narrow and width_of(start + text + also) > width:
            start, text = _without_modules(start, theme), _without_modules(text, theme)
        start = fit(start, min(width, width_of(start)), cut="")
        rest = max(0, width - width_of(start) - len(also))
        lines.append(
            [
                Segment(start, mark(theme.level(one.level), PROBLEMS, "all", width)),
                Segment(cells.phrase(text, rest, cut=theme.cut) + also, PLAIN),
            ]
        )
    return lines


def _without_modules(text: str, theme: Theme) -> str:
    return " ".join(cells.without_module(word, theme.cut) for word in text.split(" "))


def _areas(context: DrawContext, width: int, room: int) -> tuple[list[PaneArea], bool]:
    """Return the areas of the panes, and whether one has more rows than it shows."""
    state, snapshot = context.state, context.snapshot
    if state.zoomed:
        return [PaneArea(state.pane, 0, 0, width, room)], False
    rows, trouble = {}, {}
    for name, pane in PANES.items():
        shown = pane.shown(snapshot, state)
        rows[name], trouble[name] = len(shown), sum(map(bool, map(pane.severity, shown)))
    trouble["failures"] = min(1, rows["failures"])
    areas = layout.arrange(rows, trouble, state.pane, width, room)
    if layout.is_cut(areas, rows):
        return areas, True
    if room >= ROOM_FOR_SUCCESSOR and not state.filter:
        # While a worker is replaced, its slot has two; the second must not move the panes below.
        rows["workers"] = max(rows["workers"], snapshot.head.procs + 1)
    return layout.arrange(rows, trouble, state.pane, width, room), False


def _panes(context: DrawContext, areas: Sequence[PaneArea], width: int) -> list[Line]:
    """Draw the panes: those in the full width, and between them two columns."""
    lines: list[Line] = []
    columns: dict[int, list[Line]] = {}
    below: list[Line] = []
    for area in areas:
        focused = area.pane == context.state.pane
        drawn = table.draw(PANES[area.pane], context, area.width, area.height, focused=focused)
        if area.width < width:
            columns.setdefault(area.left, []).extend(drawn)
        else:
            (below if columns else lines).extend(drawn)
    if columns:
        left, right = columns.values()
        lines += cells.side_by_side(left, right, max(columns))
    return lines + below
