"""Rows and columns of a pane, for any width: the columns that matter least go first.

A pane takes one line for its header, which is its title too, and one for each row.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from rich.segment import Segment
from rich.style import Style

from poolq.dashboard.drawing.cells import Line, clean, clip, fit, name, width_of
from poolq.dashboard.drawing.theme import PLAIN, Look
from poolq.dashboard.screen_state import State
from poolq.monitor.alerts import Alert
from poolq.monitor.snapshot import Snapshot

#: A cell: its text, or that and its style.
Cell = str | tuple[str, Style]
_GRAVITY = {"bad": 0, "warn": 1, "": 2}


class Scene(NamedTuple):
    """What is drawn. `found`: the trouble in it."""

    snapshot: Snapshot
    look: Look
    state: State
    found: Sequence[Alert]


class Column(NamedTuple):
    """`width`: at least, `most`: at most, where there is room. `rank`: 0 stays, the highest goes
    first. `foreign`: its text is somebody else's; `ending`: a job's name. `wanted`: False
    when no row has anything to show in it."""

    title: str
    width: int
    cell: Callable[[Any, Scene], Cell]
    rank: int = 0
    most: int = 0
    right: bool = False
    foreign: bool = False
    ending: bool = False
    wanted: Callable[[Sequence[Any]], bool] | None = None


@dataclass(frozen=True, eq=False)
class Pane:
    """A list of things. `trouble`: warn, bad or nothing for a row; `empty`: what is said when there
    are none; `fields` are those of the row's detail; `words`: what a filter looks into."""

    name: str
    columns: tuple[Column, ...]
    rows: Callable[[Snapshot], Sequence[Any]]
    key: Callable[[Any], str]
    words: Callable[[Any], str]
    fields: Callable[[Any, Scene], list[tuple[str, Cell]]]
    empty: str
    trouble: Callable[[Any], str] = lambda _: ""

    def shown(self, snapshot: Snapshot, state: State) -> list[Any]:
        """The rows that the filter lets through: trouble comes first, the worst of it at the top,
        so that nobody has to look for it."""
        rows = sorted(self.rows(snapshot), key=lambda row: _GRAVITY[self.trouble(row)])
        if not state.filter:
            return rows
        sought = state.filter.casefold()
        return [row for row in rows if sought in self.words(row).casefold()]

    def position(self, rows: Sequence[Any], state: State) -> int:
        """Where the chosen row is; 0 when it is gone."""
        chosen = state.chosen.get(self.name)
        return next((at for at, row in enumerate(rows) if self.key(row) == chosen), 0)


def draw(pane: Pane, scene: Scene, width: int, height: int) -> list[Line]:
    """Exactly `height` lines of at most `width` columns."""
    if height < 1:
        return []
    focused = scene.state.pane == pane.name
    rows = pane.shown(scene.snapshot, scene.state)
    room = height - 1
    first = 0
    at = pane.position(rows, scene.state)
    if focused and len(rows) > room:
        first = max(0, min(at - room // 2, len(rows) - room))
    unwanted = frozenset(
        number
        for number, column in enumerate(pane.columns)
        if column.wanted is not None and not column.wanted(rows)
    )
    layout = _layout(pane, width, unwanted)
    lines = [_header(pane, scene, layout, width, (first, room, len(rows)), focused)]
    if not rows and room:
        text = "nothing matches the filter" if scene.state.filter else pane.empty
        lines.append([Segment(fit(f"  {text}", width, cut=scene.look.cut), scene.look.dim)])
    for number in range(first, min(first + room, len(rows))):
        chosen = focused and number == at
        lines.append(_row(pane, rows[number], scene, layout, width, chosen=chosen))
    lines += [[] for _ in range(height - len(lines))]
    return lines


@lru_cache(maxsize=256)
def _layout(pane: Pane, width: int, unwanted: frozenset[int]) -> tuple[tuple[Column, int], ...]:
    """The columns that fit, and how wide they are."""
    room = width - 1
    columns = [one for number, one in enumerate(pane.columns) if number not in unwanted]
    chosen: list[Column] = []
    taken = 0
    for column in sorted(columns, key=lambda one: one.rank):
        if column.rank and taken + column.width + 1 > room:
            continue
        chosen.append(column)
        taken += column.width + 1
    chosen.sort(key=columns.index)
    widths = {column: column.width for column in chosen}
    spare = room - taken
    while spare > 0:
        growing = [column for column in chosen if widths[column] < column.most]
        if not growing:
            break
        for column in growing:
            step = min(max(1, spare // len(growing)), column.most - widths[column], spare)
            widths[column] += step
            spare -= step
    return tuple((column, widths[column]) for column in chosen)


def _header(
    pane: Pane,
    scene: Scene,
    layout: Sequence[tuple[Column, int]],
    width: int,
    part: tuple[int, int, int],
    focused: bool,
) -> Line:
    first, room, count = part
    look = scene.look
    titles = [column.title for column, _ in layout]
    titles[0] = f"{pane.name.upper()} {count}"
    cells = [
        fit(title, size, right=column.right, cut="")
        for title, (column, size) in zip(titles, layout, strict=True)
    ]
    cells[0] = titles[0].ljust(layout[0][1])
    text = fit(" " + " ".join(cells), width, cut="")
    if focused and count > room > 0:
        up, down = look.up if first else " ", look.down if first + room < count else " "
        more = f" {first + 1}-{first + room} {up}{down}"
        text = text[: max(0, width - len(more))] + more[-width:]
    return [Segment(text, look.focused if focused else look.header)]


def _row(
    pane: Pane,
    row: Any,
    scene: Scene,
    layout: Sequence[tuple[Column, int]],
    width: int,
    *,
    chosen: bool,
) -> Line:
    look = scene.look
    trouble = pane.trouble(row)
    line: Line = [Segment(look.mark, look.level(trouble)) if trouble else Segment(" ", PLAIN)]
    taken = 1
    for column, size in layout:
        cell = column.cell(row, scene)
        text, style = (cell, PLAIN) if isinstance(cell, str) else cell
        if column.foreign:
            text = clean(text, ascii_only=look.ascii_only)
        if column.ending:
            text = name(text, size, look.cut)
        else:
            text = fit(text, size, right=column.right, cut=look.cut)
        line.append(Segment(text + " ", style))
        taken += size + 1
    if taken < width:
        line.append(Segment(" " * (width - taken), PLAIN))
    if chosen:
        style = look.level(trouble) + look.chosen
        line = [Segment("".join(segment.text for segment in line), style)]
    return clip(line, width) if width_of(line[-1].text) and taken > width else line
