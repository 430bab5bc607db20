"""A row in full: its fields, then what was fetched for it, a block each. It scrolls."""

from rich.segment import Segment

from poolq.dashboard.drawing.cells import Line, clean, clip, fit, wrap
from poolq.dashboard.drawing.table import Cell, Pane, Scene
from poolq.dashboard.drawing.theme import PLAIN
from poolq.dashboard.panes import PANES
from poolq.dashboard.screen_state import Detail

LABEL = 13


def row_of(pane: Pane, scene: Scene, key: str) -> object | None:
    """The row of that key; None when it is gone."""
    rows = pane.rows(scene.snapshot)
    return next((row for row in rows if pane.key(row) == key), None)


def draw(detail: Detail, scene: Scene, width: int, height: int) -> list[Line]:
    """At most `height` lines of at most `width` columns; the scroll is kept within bounds."""
    look, pane = scene.look, PANES[detail.pane]
    row = row_of(pane, scene, detail.key)
    lines: list[Line] = []
    if row is None:
        lines.append([Segment(fit(" it is gone", width, cut=""), look.warn)])
    else:
        for label, cell in pane.fields(row, scene):
            lines += _field(label, cell, scene, width)
    for title, text in detail.blocks.items():
        lines.append([])
        lines.append([Segment(fit(f" {title.upper()}", width, cut=""), look.header)])
        for part in text.split("\n"):
            pieces = wrap(clean(part.expandtabs(4), ascii_only=look.ascii_only), max(1, width - 1))
            lines += [[Segment(f" {piece}", PLAIN)] for piece in pieces]
    if detail.waits:
        lines.append([Segment(fit(" fetching more", width, cut=""), look.dim)])
    room = max(0, height - 1)
    detail.scroll = max(0, min(detail.scroll, len(lines) - room))
    shown = lines[detail.scroll : detail.scroll + room]
    more = f"  {look.down} {len(lines) - room - detail.scroll} more lines"
    title = (
        f" {detail.pane.upper()}: esc goes back{more if len(lines) - room > detail.scroll else ''}"
    )
    shown = [clip(line, width) for line in shown]  # one column has no room beside the margin
    return [[Segment(fit(title, width, cut=""), look.focused)], *shown][:height]


def _field(label: str, cell: Cell, scene: Scene, width: int) -> list[Line]:
    text, style = (cell, PLAIN) if isinstance(cell, str) else cell
    size = min(LABEL, width // 2)
    pieces = wrap(clean(text, ascii_only=scene.look.ascii_only), max(1, width - size - 1))
    lines = []
    for number, piece in enumerate(pieces):
        shown = f" {fit(label if number == 0 else '', size, cut='')}"
        lines.append([Segment(shown, scene.look.dim), Segment(piece, style)])
    return lines
