"""The layout of the whole screen, for any size.

From top to bottom, it shows the header, the alerts, the throughput, the panes and the keys. A small
screen shows little but the focused pane; a wide screen shows panes side by side.
"""

from collections.abc import Sequence

from rich.segment import Segment

from poolq.dashboard.drawing import (
    detail,
    footer,
    header,
    help_page,
    job_list,
    table,
    throughput,
)
from poolq.dashboard.drawing.cells import Line, clean, clip, fit, line_width, width_of
from poolq.dashboard.drawing.table import DrawContext
from poolq.dashboard.drawing.theme import PLAIN, Theme
from poolq.dashboard.panes import PANES
from poolq.dashboard.screen_state import ScreenState
from poolq.monitor.alerts import alerts
from poolq.monitor.snapshot import Snapshot

TWO_COLUMNS_WIDTH = 150  # minimum columns for two panes side by side
FULL_HEAD_HEIGHT = 22  # minimum lines for the whole head and throughput
ALL_PANES_HEIGHT = 30  # minimum lines to show all panes
PANE_GAP = 2
#: Rows of panes; the second pane of a row is beside the first, or below it on narrow screens.
PANE_ROWS = (("workers",), ("queues", "limits"), ("failures", "events"), ("nodes",))


def draw(
    snapshot: Snapshot, state: ScreenState, theme: Theme, size: tuple[int, int], now: float
) -> list[Line]:
    """Draw exactly `height` lines of at most `width` columns; `size` is (width, height)."""
    width, height = size
    context = DrawContext(snapshot, theme, state, alerts(snapshot))
    lines = header.draw(snapshot, theme, width, 2 if height >= FULL_HEAD_HEIGHT else 1)
    room = height - len(lines) - 1
    alone = state.help or state.detail is not None or state.jobs is not None
    if room > 2 and not alone:
        lines += _summary(context, width, room)
    room = height - len(lines) - 1
    if state.help:
        body = help_page.draw(state, theme, width, room)
    elif state.detail is not None:
        body = detail.draw(state.detail, context, width, room)
    elif state.jobs is not None:
        body = job_list.draw(state.jobs, context, width, room)
    else:
        body = _panes(context, width, room)
    lines += body[: max(0, room)]
    lines += [[] for _ in range(height - 1 - len(lines))]
    foot = footer.draw(state, theme, (width, max(1, height // 5)), now, snapshot.head)
    return [*lines[: max(0, height - len(foot))], *foot][-height:]


def _summary(context: DrawContext, width: int, room: int) -> list[Line]:
    """Draw the alerts and the throughput."""
    theme = context.theme
    if room < FULL_HEAD_HEIGHT - 3:
        most = 1 if room < 8 else 3
        lines = draw_alerts(context, width, most)
        return [*lines, *throughput.small(context.snapshot, theme, width)] if room >= 6 else lines
    lines = draw_alerts(context, width, 4)
    return [*lines, *throughput.draw(context.snapshot, theme, width)]


def draw_alerts(context: DrawContext, width: int, most: int) -> list[Line]:
    """Draw at most `most` lines, one for each alert; the last line counts those left out."""
    theme = context.theme
    if not context.alerts:
        return [[Segment(fit(f" {theme.dot} no trouble", width, cut=""), theme.good)]]
    more = len(context.alerts) - most
    lines = []
    for number, one in enumerate(context.alerts[:most], 1):
        subject = clean(f"{one.subject} {one.verdict}", ascii_only=theme.ascii_only)
        text = clean(one.text, ascii_only=theme.ascii_only)
        also = f" +{more} more" if more > 0 and number == most else ""
        start = fit(f"{theme.mark} {subject}: ", min(width, width_of(subject) + 4), cut="")
        rest = max(0, width - width_of(start) - len(also))
        line = [
            Segment(start, theme.level(one.level)),
            Segment(fit(text, rest, cut=theme.cut) + also, PLAIN),
        ]
        lines.append(clip(line, width))
    return lines


def side_by_side(left: Sequence[Line], right: Sequence[Line], width: int) -> list[Line]:
    """Put two blocks side by side, the left one padded to `width` columns."""
    lines = []
    for number in range(max(len(left), len(right))):
        one = left[number] if number < len(left) else []
        other = right[number] if number < len(right) else []
        space = width + PANE_GAP - line_width(one)
        lines.append([*one, Segment(" " * space, PLAIN), *other])
    return lines


def _panes(context: DrawContext, width: int, room: int) -> list[Line]:
    state, snapshot = context.state, context.snapshot
    names = [name for name in PANES if name != "nodes" or _nodes_matter(context, room)]
    rows = [
        part
        for row in PANE_ROWS
        for part in ([row] if width >= TWO_COLUMNS_WIDTH else [(name,) for name in row])
        if any(name in names for name in part)
    ]
    wants = [1 + max(1, *(len(PANES[name].shown(snapshot, state)) for name in row)) for row in rows]
    focus = next(number for number, row in enumerate(rows) if state.pane in row)
    lines: list[Line] = []
    for row, height in zip(rows, share(wants, room, focus), strict=True):
        if len(row) == 1 or height == 0:
            lines += table.draw(PANES[row[0]], context, width, height)
            continue
        left = (width - PANE_GAP) // 2
        blocks = [table.draw(PANES[row[0]], context, left, height)]
        blocks.append(table.draw(PANES[row[1]], context, width - PANE_GAP - left, height))
        lines += side_by_side(blocks[0], blocks[1], left)
    return [clip(line, width) if len(line) > 1 else line for line in lines]


def _nodes_matter(context: DrawContext, room: int) -> bool:
    """Return whether to show the nodes pane: it has the focus, or there is room for it. If there
    are several nodes, less room is enough."""
    several = len(context.snapshot.nodes) > 1
    fits = room > ALL_PANES_HEIGHT or (several and room > FULL_HEAD_HEIGHT)
    return fits or context.state.pane == "nodes"


def share(wants: Sequence[int], room: int, focus: int) -> list[int]:
    """Return the height of each row of panes, given the height that each row `wants`. The focused
    row gets up to half of the room, and the others two lines each as long as there is room. The
    remaining lines are shared out evenly."""
    given = [0] * len(wants)
    given[focus] = max(0, min(room, wants[focus], max(3, (room + 1) // 2)))
    left = room - given[focus]
    for number in range(len(wants)):
        if number != focus and left >= 2:
            given[number] = 2
            left -= 2
    while left > 0:
        growing = [number for number, has in enumerate(given) if 0 < has < wants[number]]
        if not growing:
            given[focus if room < 8 else max(n for n, has in enumerate(given) if has)] += left
            break
        for number in growing[:left]:
            given[number] += 1
            left -= 1
    return given
