"""Decides which panes are shown, and where (pure).

The result depends only on the size of the screen, the number of rows of each pane, how many of
these rows are in trouble, and which pane has the focus. Rows in trouble get room before other rows.
On a wide screen, the panes of workers (at the top) and events (at the bottom) have the full width,
since their texts are long. Between them are two columns of panes.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

TWO_COLUMNS_WIDTH = 150  # minimum width of the screen, in characters, for two columns of panes
TWO_COLUMNS_HEIGHT = 12  # minimum lines below the summary for two columns of panes
PANE_GAP = 2
#: The panes of the left and of the right column of a wide screen, from top to bottom.
WIDE = (("queues", "limits", "schedules", "kinds"), ("failures", "nodes"))
#: The panes of a narrow screen.
NARROW = ("workers", "queues", "limits", "failures", "events", "schedules", "kinds", "nodes")
#: Panes that are shown only if there is enough room or if they have the focus.
OPTIONAL = ("kinds", "nodes")
#: A pane that is shown only if it has rows or the focus. Many applications have no schedules.
UNLESS_EMPTY = "schedules"
SMALL_HEIGHT = 12  # a column with fewer lines than this leaves out panes without rows
LINES_PER_PANE = 4  # an optional pane has room if its column has this many lines for each pane


class PaneArea(NamedTuple):
    """Where a pane is: `top` counts from the first line below the summary."""

    pane: str
    left: int
    top: int
    width: int
    height: int


def arrange(
    rows: Mapping[str, int], trouble: Mapping[str, int], focus: str, width: int, height: int
) -> list[PaneArea]:
    """Return the areas of the panes that fit into `width` columns and `height` lines. `rows` maps
    each pane to the number of its rows. `trouble` maps a pane to the number of its rows in trouble,
    which are its first rows. On a wide screen, the workers get more than half of the lines only if
    the other panes do not need them."""
    if width < TWO_COLUMNS_WIDTH or height < TWO_COLUMNS_HEIGHT:
        names = _shown(NARROW, rows, focus, height)
        if trouble.get("schedules"):
            names.sort(key=lambda one: NARROW.index("limits" if one == "schedules" else one))
        return _share_out(names, rows, trouble, focus, PaneArea("", 0, 0, width, height))
    # Failures get some room in advance, so that a new one does not move what is below.
    rows = {**rows, "failures": max(rows["failures"], height // 6)}
    columns = [_shown(panes, rows, focus, height // 2) for panes in WIDE]
    needs = max(sum(_lines(rows[one]) for one in names) for names in columns)
    most = max(height // 2, height - needs - 2)
    wants = [min(_lines(rows["workers"]), most), needs, _lines(rows["events"])]
    urgent = [_urgent("workers", rows, trouble), 2 * max(map(len, columns)), 0]
    band = 0 if focus == "workers" else 2 if focus == "events" else 1
    heights = share(wants, urgent, height, band)
    workers = PaneArea("workers", 0, 0, width, heights[0])
    left = PaneArea("", 0, heights[0], (width - PANE_GAP) // 2, heights[1])
    right = left._replace(left=left.width + PANE_GAP, width=width - left.width - PANE_GAP)
    return [
        workers,
        *_share_out(columns[0], rows, trouble, focus, left),
        *_share_out(columns[1], rows, trouble, focus, right),
        PaneArea("events", 0, height - heights[2], width, heights[2]),
    ]


def is_cut(areas: Sequence[PaneArea], rows: Mapping[str, int]) -> bool:
    """Return whether a pane has more rows than it shows."""
    heights = {one.pane: one.height for one in areas}
    return any(
        heights.get(pane, 1) <= count
        for pane, count in rows.items()
        if pane in heights or pane not in OPTIONAL
    )


def _share_out(
    names: Sequence[str],
    rows: Mapping[str, int],
    trouble: Mapping[str, int],
    focus: str,
    area: PaneArea,
) -> list[PaneArea]:
    """Share an area out among panes, from top to bottom."""
    at = names.index(focus) if focus in names else 0
    top, found = area.top, []
    urgent = [_urgent(one, rows, trouble) for one in names]
    heights = share([_lines(rows[one]) for one in names], urgent, area.height, at)
    for name, height in zip(names, heights, strict=True):
        if height:
            found.append(area._replace(pane=name, top=top, height=height))
        top += height
    return found


def _urgent(pane: str, rows: Mapping[str, int], trouble: Mapping[str, int]) -> int:
    """Return how many lines a pane needs for its rows in trouble, or 0 if there are none."""
    found = min(rows[pane], trouble.get(pane, 0))
    return _lines(found) if trouble.get(pane) else 0


def _lines(rows: int) -> int:
    """Return how many lines a pane needs for its title and its rows, or for saying that it has
    none."""
    return 1 + max(1, rows)


def _shown(panes: Sequence[str], rows: Mapping[str, int], focus: str, height: int) -> list[str]:
    """Return the panes of a column without the optional ones for which there is not enough room.
    Nodes are more important than kinds of jobs if there are several nodes. If there is little room,
    panes without rows are left out."""
    optional = {
        one
        for one in panes
        if one in OPTIONAL or (not rows[one] and (height < SMALL_HEIGHT or one == UNLESS_EMPTY))
    }
    shown = {one for one in panes if one not in optional or one == focus}
    several = rows["nodes"] > 1
    for name in sorted(OPTIONAL, key=lambda one: (one == "nodes") != several):
        if name in panes and name not in shown and height >= LINES_PER_PANE * (len(shown) + 1):
            shown.add(name)
    return [one for one in panes if one in shown]


def share(wants: Sequence[int], urgent: Sequence[int], room: int, focus: int) -> list[int]:
    """Return the height of each pane of a column of `room` lines. `wants`: the height that each
    pane wants; `urgent`: the height that its rows in trouble need (0 without trouble). The lines
    are given out in this order: Three lines go to the focused pane. Panes with trouble get what it
    needs, but together at most two thirds of the room. The focused pane gets half of the remaining
    lines, but at most half of the room in all. The others get two lines each. The rest is shared
    out evenly."""
    given = [0] * len(wants)
    given[focus] = min(room, wants[focus], 3)
    _give(given, urgent, min(room, given[focus] + room * 2 // 3))
    half = min(room // 2, given[focus] + (room - sum(given) + 1) // 2, wants[focus])
    _give(given, [half * (number == focus) for number in range(len(wants))], room)
    _give(given, wants, room)
    given[focus if room < 8 else max(n for n, has in enumerate(given) if has)] += room - sum(given)
    return given


def _give(given: list[int], goals: Sequence[int], room: int) -> None:
    """Give two lines to each pane that has a goal and no line yet, as long as there is room; then
    share the rest of the room out evenly among those that are below their goals."""
    for number, goal in enumerate(goals):
        if goal and not given[number] and room - sum(given) >= 2:
            given[number] = 2
    while growing := [number for number, has in enumerate(given) if 0 < has < goals[number]]:
        if sum(given) >= room:
            return
        for number in growing[: room - sum(given)]:
            given[number] += 1
