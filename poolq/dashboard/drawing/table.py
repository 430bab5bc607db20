"""Draws the rows and columns of a pane. If it is narrow, the least important columns are omitted.

A pane takes one line for its header, which includes its title, and one for each row. A column of
names or texts is as wide as the longest one that it has shown, so it never becomes narrower, and
optional columns are at the right end. So columns keep their places from frame to frame.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

from rich.segment import Segment
from rich.style import Style

from poolq.dashboard.drawing.targets import mark
from poolq.dashboard.screen_state import ScreenState
from poolq.monitor.alerts import Alert
from poolq.monitor.snapshot import Snapshot
from poolq.styling.cells import Line, clip, fit, name, width_of
from poolq.styling.theme import PLAIN, Theme

#: A cell is its text, or its text and its style.
Cell = str | tuple[str, Style]
#: The names and the cells of a detail.
Fields = list[tuple[str, Cell]]
MARGIN = 2  # columns of a row's mark and of the blank behind it
MIN_TEXT_WIDTH = 6  # columns that a shortened text keeps
IMPORTANT_RANK = 2  # columns up to this rank take precedence over long texts
_ORDER = {"bad": 0, "warn": 1, "": 2}


class DrawContext(NamedTuple):
    """What every part of the drawing reads."""

    snapshot: Snapshot
    theme: Theme
    state: ScreenState
    alerts: Sequence[Alert]


class Sort(NamedTuple):
    """`value` returns what the rows are sorted by; rows with None come last. `descending`: whether
    the largest comes first, unless the user reverses the order."""

    value: Callable[[Any], Any]
    descending: bool = True


def rising(value: Callable[[Any], Any]) -> Sort:
    return Sort(value, descending=False)


class PaneColumn(NamedTuple):
    """`width` is the minimum width, and `most` the maximum, if the width depends on the texts. If
    there is not enough room, columns of higher ranks are omitted first, but a narrow one may stay
    where a wider one does not fit. Columns of rank 0 are omitted last. In a column of job names
    (`is_job_name`), a name that is too long loses its module. `is_shown` returns False if no row
    has anything to show in the column. `sort`: how the pane is sorted by this column, if it can be.
    """

    title: str
    width: int
    cell: Callable[[Any, DrawContext], Cell]
    rank: int = 0
    most: int = 0
    right: bool = False
    is_job_name: bool = False
    is_shown: Callable[[Sequence[Any]], bool] | None = None
    sort: Sort | None = None


@dataclass(frozen=True, eq=False)
class Pane:
    """A list on the screen. `one` labels its first column. For a row, `words` returns the text that
    a filter searches, `more` the fields of its detail that are in no column, and `severity` "warn",
    "bad" or "". `empty` is shown if there are no rows. `left_out` returns how many further rows are
    not known. Unless the user sorts the pane by a column, it is sorted by severity, then by
    `usual`."""

    name: str
    one: str
    columns: tuple[PaneColumn, ...]
    rows: Callable[[Snapshot, ScreenState], Sequence[Any]]
    key: Callable[[Any], str]
    words: Callable[[Any], str]
    empty: str
    more: Callable[[Any, DrawContext], Fields] = lambda *_: []
    severity: Callable[[Any], str] = lambda _: ""
    left_out: Callable[[DrawContext], int] = lambda _: 0
    usual: Callable[[Any], Any] = lambda _: 0

    @cached_property
    def sorts(self) -> dict[str, Sort]:
        """The columns by which the pane can be sorted, by their titles."""
        return {one.title: one.sort for one in self.columns if one.sort is not None}

    def find(self, snapshot: Snapshot, state: ScreenState, key: str) -> Any:
        """Return the row with that key, or None if the list no longer has it."""
        return next((row for row in self.rows(snapshot, state) if self.key(row) == key), None)

    def fields(self, row: Any, context: DrawContext) -> Fields:
        """Return the fields of a row's detail: all columns that show something, and `more`."""
        found: Fields = []
        for column in self.columns:
            if column.is_shown is None or column.is_shown([row]):
                label = column.title.partition("  ")[0].lower() or self.one
                found.append((label, column.cell(row, context)))
        return found + self.more(row, context)

    def shown(self, snapshot: Snapshot, state: ScreenState) -> list[Any]:
        """Return the rows that match the filter, in the order that the user has chosen. By default,
        the worst problems are at the top."""
        rows, sought = self.rows(snapshot, state), state.filter.casefold()
        if sought:
            rows = [row for row in rows if sought in self.words(row).casefold()]
        order = state.orders.get(self.name)
        if order is None:
            return sorted(rows, key=lambda row: (_ORDER[self.severity(row)], self.usual(row)))
        value = self.sorts[order.column].value
        known = [row for row in rows if value(row) is not None]
        unknown = [row for row in rows if value(row) is None]
        return [*sorted(known, key=value, reverse=order.descending), *unknown]

    def position(self, rows: Sequence[Any], state: ScreenState) -> int:
        """Return the index of the selected row, or 0 if none is selected. If the row has left the
        list, select the row in its place, unless there is a filter: it may only hide the row."""
        chosen = state.chosen.get(self.name)
        at = next((at for at, row in enumerate(rows) if self.key(row) == chosen), None)
        if at is None:
            if chosen is None or state.filter or not rows:
                return 0
            at = min(state.places.get(self.name, 0), len(rows) - 1)
        if chosen is not None:
            state.chosen[self.name], state.places[self.name] = self.key(rows[at]), at
        return at


@lru_cache(maxsize=256)
def _layout(pane: Pane, width: int, wanted: tuple[int, ...]) -> tuple[tuple[PaneColumn, int], ...]:
    """Return the columns that fit, with their widths. First, columns up to IMPORTANT_RANK are
    chosen, then texts get the width that they need, then other columns are chosen. If not even
    those of rank 0 fit, texts are shortened, then the last columns are omitted, so that no number
    is cut."""
    most = dict(zip(pane.columns, wanted, strict=True))
    columns = [one for one in pane.columns if most[one]]
    widths: dict[PaneColumn, int] = {}
    spare = width - MARGIN
    for important in (True, False):
        for column in sorted(columns, key=lambda one: one.rank):
            fits = not column.rank or column.width + 1 <= spare
            if fits and (column.rank <= IMPORTANT_RANK) is important:
                widths[column] = column.width
                spare -= column.width + 1
        spare = _grow(widths, most, spare)
    chosen = [column for column in columns if column in widths]
    for column in chosen:
        if spare < 0 and column.most:
            cut = max(0, min(-spare, column.width - MIN_TEXT_WIDTH))
            widths[column] -= cut
            spare += cut
    while spare < 0 and len(chosen) > 1:
        spare += widths.pop(chosen.pop()) + 1
    _grow(widths, most, spare)
    return tuple((column, widths[column]) for column in chosen)


def _grow(widths: dict[PaneColumn, int], most: Mapping[PaneColumn, int], spare: int) -> int:
    """Share `spare` out among the columns that want more width. Returns what is left of it."""
    while spare > 0:
        growing = [column for column in widths if widths[column] < most[column]]
        if not growing:
            break
        for column in growing:
            step = min(max(1, spare // len(growing)), most[column] - widths[column], spare)
            widths[column] += step
            spare -= step
    return spare


@lru_cache(maxsize=4096)  # most cells stay the same from frame to frame
def _segment(
    text: str, style: Style, size: int, cut: str, right: bool, is_job_name: bool
) -> Segment:
    """Draw a cell, and the gap behind it."""
    shown = name(text, size, cut) if is_job_name else fit(text, size, right=right, cut=cut)
    return Segment(shown + " ", style)


def draw(
    pane: Pane, context: DrawContext, width: int, height: int, *, focused: bool = False
) -> list[Line]:
    """Draw exactly `height` lines of at most `width` columns."""
    return _Table(pane, context, width, focused).draw(height) if height > 0 else []


class _Table(NamedTuple):
    """A pane that is drawn in `width` columns."""

    pane: Pane
    context: DrawContext
    width: int
    focused: bool

    def draw(self, height: int) -> list[Line]:
        pane, theme, state = self.pane, self.context.theme, self.context.state
        rows = pane.shown(self.context.snapshot, state)
        room, first, at = height - 1, 0, pane.position(rows, state)
        if self.focused:
            state.page = max(1, room - 1)
            first = max(0, min(at - room // 2, len(rows) - room))
        visible = rows[first : first + room]
        more = pane.left_out(self.context)
        known = len(pane.rows(self.context.snapshot, state))
        title = f"{pane.name.upper()} {len(rows)}" + f" of {known + more}" * (more > 0)
        layout = _layout(pane, self.width, self._wanted(title, rows, visible))
        part = ""
        if len(rows) > room > 0:
            up = theme.up if first else " "
            down = theme.down if first + room < len(rows) else " "
            part = f" {first + 1}-{first + room} {up}{down}" if self.focused else f" {down}"
        lines = [self._header(layout, title, part)]
        if not rows and room:
            text = "nothing matches the filter" if state.filter else pane.empty
            lines.append([Segment(fit(f"  {text}", self.width, cut=theme.cut), theme.dim)])
        for number, row in enumerate(visible, first):
            lines.append(self._row(row, layout, chosen=self.focused and number == at))
        lines += [[] for _ in range(height - len(lines))]
        return lines

    def _wanted(self, title: str, rows: Sequence[Any], visible: Sequence[Any]) -> tuple[int, ...]:
        """Return the width that each column needs for all texts that it has shown, or 0 if it has
        had nothing to show. A column that was shown once stays, so that the columns do not jump
        each time a job begins or ends."""
        found, widths = list[int](), self.context.state.widths
        for number, column in enumerate(self.pane.columns):
            name = (self.pane.name, column.title)
            if name not in widths and column.is_shown is not None and not column.is_shown(rows):
                found.append(0)
                continue
            size = column.width if number else max(column.width, len(title))
            if column.most:
                cells = [column.cell(row, self.context) for row in visible]
                texts = [width_of(cell if isinstance(cell, str) else cell[0]) for cell in cells]
                size = max(size, min(column.most, max(texts, default=0)), widths.get(name, 0))
            widths[name] = size
            found.append(size)
        return tuple(found)

    def _header(self, layout: Sequence[tuple[PaneColumn, int]], pane_title: str, part: str) -> Line:
        """Draw the titles of the columns, and `part`, which says which rows are shown. An arrow
        marks the column by which the pane is sorted."""
        theme, order = self.context.theme, self.context.state.orders.get(self.pane.name)
        cells = [("", f"{theme.focus if self.focused else ' '} ")]
        for number, (column, size) in enumerate(layout):
            arrow = ""
            if order is not None and order.column == column.title:
                arrow = theme.down if order.descending else theme.up
            if column.right:  # the arrow is in the gap behind the title
                cell = fit(column.title, size, right=True, cut="") + (arrow or " ")
            else:
                title = column.title if number else pane_title
                least = 0 if number else len(title)
                cell = fit(title + arrow, max(size, least) + 1, cut="")
            cells.append((column.title, cell))
        text = fit("".join(cell for _, cell in cells), self.width, cut="")
        if part:
            text = text[: max(0, self.width - len(part))] + part[-self.width :]
        style = theme.focused if self.focused else theme.header
        spans = tuple((title, len(cell)) for title, cell in cells)
        return [Segment(text, mark(style, self.pane.name, "", self.width, spans))]

    def _row(self, row: Any, layout: Sequence[tuple[PaneColumn, int]], *, chosen: bool) -> Line:
        pane, theme = self.pane, self.context.theme
        segments, taken = [], MARGIN
        for column, size in layout:
            cell = column.cell(row, self.context)
            text, style = (cell, PLAIN) if isinstance(cell, str) else cell
            how = (column.right, column.is_job_name)
            segments.append(_segment(text, style, size, theme.cut, *how))
            taken += size + 1
        severity = pane.severity(row)
        style, sign = theme.level(severity), f"{theme.mark if severity else ' '} "
        if chosen:
            style += theme.chosen
            text = sign + "".join(segment.text for segment in segments)
            sign, segments = fit(text, self.width, cut=""), []
        line = [Segment(sign, mark(style, pane.name, pane.key(row), self.width)), *segments]
        return line if taken <= self.width else clip(line, self.width)
