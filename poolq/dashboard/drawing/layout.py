"""Decides which panes are shown, and where (pure).

The result depends only on the size of the screen, on how many rows the panes have, how many of
these are trouble, and on which pane has the focus. What is in trouble has room before what is well.
A wide screen shows the workers in its full width, and below them two columns of panes. If these
leave enough lines, the events are below them in the full width, since their texts are long.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

TWO_COLUMNS_WIDTH = 150  # minimum columns of the screen for two columns of panes
TWO_COLUMNS_HEIGHT = 8  # minimum lines of the panes for that
PANE_GAP = 2
WIDE_EVENTS_HEIGHT = 6  # minimum lines for events in the full width
#: The panes of each column, from top to bottom, below the workers of a wide screen.
WIDE = (("queues", "limits", "schedules", "kinds"), ("failures", "events", "nodes"))
#: The panes of a narrow screen.
NARROW = ("workers", "queues", "limits", "failures", "events", "schedules", "kinds", "nodes")
#: Panes that are shown only if there is enough room or if they have the focus.
OPTIONAL = ("kinds", "nodes")
#: A pane that is shown only if it has rows or the focus, because many applications have none.
UNLESS_EMPTY = "schedules"
SMALL_HEIGHT = 12  # lines below which panes without rows are left out
LINES_PER_PANE = 4  # minimum lines for each pane of a column that shows an optional pane


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
    each pane to the number of rows that it has, and `trouble` to that of its rows in trouble, if it
    has any; they are its first ones. On a wide screen, the workers get at most half of
    the lines, unless the other panes do not need the rest."""
    if width < TWO_COLUMNS_WIDTH or height < TWO_COLUMNS_HEIGHT:
        names = _shown(NARROW, rows, focus, height)
        if trouble.get("schedules"):
            names.sort(key=lambda one: NARROW.index("limits" if one == "schedules" else one))
        return _share_out(names, rows, trouble, focus, PaneArea("", 0, 0, width, height))
    below = max(_needs(panes, rows, focus) for panes in WIDE)
    top = min(_lines(rows["workers"]), max(height // 2, height - below))
    rest = height - top
    workers = PaneArea("workers", 0, 0, width, top)
    # Failures get some room in advance, so that a new one does not move the panes below it.
    ahead = {**rows, "failures": max(rows["failures"], rest // 3)}
    columns: tuple[Sequence[str], Sequence[str]] = WIDE
    beside = tuple(one for one in WIDE[1] if one != "events")
    room = rest - max(_needs(WIDE[0], rows, focus), _needs(beside, ahead, focus))
    events = []
    if room >= WIDE_EVENTS_HEIGHT:
        columns = WIDE[0], beside
        events.append(PaneArea("events", 0, height - room, width, room))
    area = PaneArea("", 0, top, (width - PANE_GAP) // 2, rest - sum(one.height for one in events))
    right = area._replace(left=area.width + PANE_GAP, width=width - area.width - PANE_GAP)
    return [
        workers,
        *_share_out(_shown(columns[0], rows, focus, rest), rows, trouble, focus, area),
        *_share_out(_shown(columns[1], ahead, focus, rest), ahead, trouble, focus, right),
        *events,
    ]


def is_cut(areas: Sequence[PaneArea], rows: Mapping[str, int]) -> bool:
    """Return whether a pane has more rows than it shows."""
    heights = {one.pane: one.height for one in areas}
    return any(
        heights.get(pane, 1) <= count
        for pane, count in rows.items()
        if pane in heights or pane not in OPTIONAL
    )


def _needs(panes: Sequence[str], rows: Mapping[str, int], focus: str) -> int:
    """Return how many lines a column of these panes needs to show all of their rows."""
    shown = (one for one in panes if rows[one] or one != UNLESS_EMPTY or one == focus)
    return sum(_lines(rows[one]) for one in shown)


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
    urgent = [min(_lines(rows[one]), _lines(trouble.get(one, 0))) for one in names]
    urgent = [lines if trouble.get(one) else 0 for one, lines in zip(names, urgent, strict=True)]
    heights = share([_lines(rows[one]) for one in names], urgent, area.height, at)
    for name, height in zip(names, heights, strict=True):
        if height:
            found.append(area._replace(pane=name, top=top, height=height))
        top += height
    return found


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
    """Return the height of each pane of a column, given the height that each one `wants`, and the
    height that its trouble needs (0 without trouble). In this order, as long as there is room: the
    focused pane gets three lines; those with trouble what it needs, though together no more than
    two thirds of the room; the focused one up to half of the room, and of what is left; and the
    others two lines each. The remaining lines are shared out evenly."""
    given = [0] * len(wants)
    given[focus] = min(room, wants[focus], 3)
    most = min(room, given[focus] + room * 2 // 3)
    _open(given, [number for number, lines in enumerate(urgent) if lines], most)
    _grow(given, urgent, most)
    half = min(room // 2, given[focus] + (room - sum(given) + 1) // 2)
    _grow(given, [half if number == focus else 0 for number in range(len(wants))], room, wants)
    _open(given, range(len(wants)), room)
    _grow(given, wants, room)
    left = room - sum(given)
    given[focus if room < 8 else max(n for n, has in enumerate(given) if has)] += left
    return given


def _open(given: list[int], panes: Iterable[int], room: int) -> None:
    """Give two lines to each of these panes that has none, as long as there is room."""
    for number in panes:
        if not given[number] and room - sum(given) >= 2:
            given[number] = 2


def _grow(
    given: list[int], goals: Sequence[int], room: int, wants: Sequence[int] | None = None
) -> None:
    """Share the rest of the room out evenly among the panes that are shown and below their goals,
    which are at most what they want."""
    goals = [min(one, most) for one, most in zip(goals, wants or goals, strict=True)]
    left = room - sum(given)
    while left > 0:
        growing = [number for number, has in enumerate(given) if 0 < has < goals[number]]
        if not growing:
            return
        for number in growing[:left]:
            given[number] += 1
            left -= 1
