"""Draws a page that scrolls: a row with its fields, then a block for each fetched text; all
problems; or the help."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence

from rich.segment import Segment

from poolq.dashboard.drawing import help_page
from poolq.dashboard.drawing.table import Cell, DrawContext
from poolq.dashboard.job_list import JobView
from poolq.dashboard.panes import PANES
from poolq.dashboard.panes.jobs import JOBS_PANE
from poolq.dashboard.screen_state import HELP, PROBLEMS, Detail
from poolq.dashboard.selection import chosen
from poolq.styling.cells import Line, clip, fit, full_line, wrap, wrap_words
from poolq.styling.theme import PLAIN

LABEL_WIDTH = 13
#: Titles of fetched texts that are left out, because the fields of a job show these texts already.
IN_FIELDS = ("job", "error", "raised at")


def draw(detail: Detail, context: DrawContext, width: int, height: int) -> list[Line]:
    """Draw at most `height` lines; keep `detail.scroll` in bounds."""
    theme = context.theme
    if detail.pane == HELP:
        lines = help_page.draw(theme, width, read_only=context.state.read_only)
    else:
        lines = _row(detail, context, width)
    room = max(0, height - 1)
    context.state.page = max(1, room - 1)
    found = _find(detail, lines, room) if detail.sought else ""
    last = max(0, len(lines) - room)
    detail.scroll = last if detail.at_end else max(0, min(detail.scroll, last))
    if detail.sought and 0 <= detail.match < len(lines):
        lines[detail.match] = [Segment(_text(lines[detail.match]), theme.chosen)]
    left = len(lines) - room - detail.scroll
    more = f"  {theme.down} {left} more line{'s' * (left > 1)}" if left > 0 else ""
    title = f"{detail.pane.upper()}: {found or 'esc goes back'}{more}"
    shown = [clip(line, width) for line in lines[detail.scroll : detail.scroll + room]]
    return [full_line(title, width, theme.focused), *shown][:height]


def _row(detail: Detail, context: DrawContext, width: int) -> list[Line]:
    theme = context.theme
    lines: list[Line] = []
    for label, cell in _fields(detail, context):
        lines += _field(label, cell, context, width)
    if not lines:
        lines.append(full_line("no longer in the list", width, theme.warn))
    log = {"log": detail.log or "no line yet"} if detail.follows else {}
    for title, text in (detail.blocks | log).items():
        if title in IN_FIELDS and detail.shows_job and detail.job is not None:
            continue
        lines += [[], full_line(title.upper(), width, theme.header)]
        for part in text.split("\n"):
            lines += [
                [Segment(f" {piece}", PLAIN)] for piece in wrap(part.expandtabs(4), width - 1)
            ]
    if detail.waits:
        lines.append(full_line("fetching more", width, theme.dim))
    return lines


def _text(line: Line) -> str:
    return "".join(segment.text for segment in line)


def _find(detail: Detail, lines: Sequence[Line], room: int) -> str:
    """Go on by `detail.jump` matches. Returns which of the matches is current."""
    sought = detail.sought.casefold()
    matches = [at for at, line in enumerate(lines) if sought in _text(line).casefold()]
    if not matches:
        detail.match, detail.jump = -1, 0
        return "no line contains the text"
    if detail.jump:
        ahead = detail.jump > 0
        start = (
            bisect_right(matches, detail.match) - 1 if ahead else bisect_left(matches, detail.match)
        )
        detail.match, detail.jump = matches[(start + detail.jump) % len(matches)], 0
        detail.scroll, detail.at_end = detail.match - room // 3, False
    return f"match {bisect_right(matches, detail.match)} of {len(matches)}  n next"


def _fields(detail: Detail, context: DrawContext) -> list[tuple[str, Cell]]:
    """Return the fields of the job or of the row, or none if the row is no longer in its list."""
    theme = context.theme
    if detail.pane == PROBLEMS:
        return [
            (str(number), (f"{one.subject} {one.verdict}: {one.text}", theme.level(one.level)))
            for number, one in enumerate(context.alerts, 1)
        ] or [("", ("no trouble", theme.good))]
    row = chosen(context.state, context.snapshot)
    pane = JOBS_PANE if isinstance(row, JobView) else PANES.get(detail.pane)
    return [] if row is None or pane is None else pane.fields(row, context)


def _field(label: str, cell: Cell, context: DrawContext, width: int) -> list[Line]:
    text, style = (cell, PLAIN) if isinstance(cell, str) else cell
    size = min(LABEL_WIDTH, width // 2)
    lines = []
    for number, piece in enumerate(wrap_words(text, width - size - 1)):
        shown = f" {fit(label if number == 0 else '', size, cut='')}"
        lines.append([Segment(shown, context.theme.dim), Segment(piece, style)])
    return lines
