"""The whole screen, for any size: what goes where, and what gives way where there is little room.

From the top: the head, what is wrong, throughput, the panes, the keys. Small screens show the pane
that has the keys and those that matter most beside it; wide ones put panes side by side.
"""

from collections.abc import Sequence

from rich.segment import Segment

from poolq.dashboard.drawing import detail, footer, header, help_page, table, throughput, trouble
from poolq.dashboard.drawing.cells import Line, clip, line_width
from poolq.dashboard.drawing.table import Scene
from poolq.dashboard.drawing.theme import PLAIN, Look
from poolq.dashboard.panes import PANES
from poolq.dashboard.screen_state import State
from poolq.monitor.alerts import alerts
from poolq.monitor.snapshot import Snapshot

WIDE = 150  # columns from which two panes stand side by side
TALL = 22  # lines from which head and throughput are shown in full
ROOMY = 30  # lines of panes that are enough for all of them
GAP = 2
#: Panes in a row; the second of a row stands beside the first, or after it.
ROWS = (("workers",), ("queues", "limits"), ("failures", "events"), ("nodes",))


def draw(
    snapshot: Snapshot, state: State, look: Look, size: tuple[int, int], now: float
) -> list[Line]:
    """Exactly `height` lines of at most `width` columns. `size`: (width, height)."""
    width, height = size
    scene = Scene(snapshot, look, state, alerts(snapshot))
    lines = header.draw(snapshot, look, width, 2 if height >= TALL else 1)
    room = height - len(lines) - 1
    alone = state.help or state.detail is not None
    if room > 2 and not alone:
        lines += _summary(scene, width, room)
    room = height - len(lines) - 1
    if state.help:
        body = help_page.draw(state, look, width, room)
    elif state.detail is not None:
        body = detail.draw(state.detail, scene, width, room)
    else:
        body = _panes(scene, width, room)
    lines += body[: max(0, room)]
    lines += [[] for _ in range(height - 1 - len(lines))]
    draining = snapshot.head.state == "draining"
    foot = footer.draw(state, look, (width, max(1, height // 5)), now, draining=draining)
    return [*lines[: max(0, height - len(foot))], *foot][-height:]


def _summary(scene: Scene, width: int, room: int) -> list[Line]:
    """What is wrong, and throughput."""
    look = scene.look
    if room < TALL - 3:
        most = 1 if room < 8 else 3
        lines = trouble.draw(scene, width, most)
        return [*lines, *throughput.small(scene.snapshot, look, width)] if room >= 6 else lines
    lines = trouble.draw(scene, width, min(4, trouble.wanted(scene)))
    return [*lines, *throughput.draw(scene.snapshot, look, width)]


def beside(left: Sequence[Line], right: Sequence[Line], width: int) -> list[Line]:
    """Two blocks, the left one filled to `width` columns."""
    lines = []
    for number in range(max(len(left), len(right))):
        one = left[number] if number < len(left) else []
        other = right[number] if number < len(right) else []
        space = width + GAP - line_width(one)
        lines.append([*one, Segment(" " * space, PLAIN), *other])
    return lines


def _panes(scene: Scene, width: int, room: int) -> list[Line]:
    state, snapshot = scene.state, scene.snapshot
    names = [name for name in PANES if name != "nodes" or _nodes_matter(scene, room)]
    rows = [
        part
        for row in ROWS
        for part in ([row] if width >= WIDE else [(name,) for name in row])
        if any(name in names for name in part)
    ]
    wants = [1 + max(1, *(len(PANES[name].shown(snapshot, state)) for name in row)) for row in rows]
    focus = next(number for number, row in enumerate(rows) if state.pane in row)
    lines: list[Line] = []
    for row, height in zip(rows, share(wants, room, focus), strict=True):
        if len(row) == 1 or height == 0:
            lines += table.draw(PANES[row[0]], scene, width, height)
            continue
        left = (width - GAP) // 2
        blocks = [table.draw(PANES[row[0]], scene, left, height)]
        blocks.append(table.draw(PANES[row[1]], scene, width - GAP - left, height))
        lines += beside(blocks[0], blocks[1], left)
    return [clip(line, width) if len(line) > 1 else line for line in lines]


def _nodes_matter(scene: Scene, room: int) -> bool:
    """It has the keys, there is room for everything, or there are others than this pool."""
    several = len(scene.snapshot.nodes) > 1
    return scene.state.pane == "nodes" or room > ROOMY or (several and room > TALL)


def share(wants: Sequence[int], room: int, focus: int) -> list[int]:
    """Lines for each row of panes: the one with the keys has half of what it wants to, the others
    two each as long as there is room, and all grow evenly then. (Pure.)"""
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
