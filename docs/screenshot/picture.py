"""Draws the screen of a pool as an SVG document."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator

from rich.console import Console
from rich.segment import Segment, Segments
from rich.terminal_theme import TerminalTheme

from poolq.common.escaping import clean
from poolq.dashboard.drawing import frame
from poolq.dashboard.screen_state import ScreenState
from poolq.monitor.snapshot import Snapshot
from poolq.styling.cells import Line
from poolq.styling.theme import make_theme

#: The colours of a picture: background, foreground, and a terminal's 8 colours, normal and bright.
THEME = TerminalTheme(
    (17, 21, 28),
    (214, 218, 224),
    [(0, 0, 0), (232, 84, 84), (122, 190, 96), (229, 184, 76), (92, 148, 230), (190, 120, 210),
     (96, 178, 200), (214, 218, 224)],
    [(62, 70, 84), (240, 110, 110), (150, 210, 120), (240, 205, 110), (130, 175, 240),
     (210, 150, 225), (130, 200, 215), (255, 255, 255)],
)  # fmt: skip
#: The fonts that rich's SVG would load from a web server.
_FONTS = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)


def picture(snapshot: Snapshot, size: tuple[int, int], state: ScreenState) -> str:
    """Draw the screen of this size, in columns and lines."""
    theme = make_theme(colour=True, ascii_only=False)
    console = Console(
        record=True, file=io.StringIO(), width=size[0], height=size[1], force_terminal=True,
        color_system="truecolor", legacy_windows=False,
    )  # fmt: skip
    lines = frame.draw(snapshot, state, theme, size, 0.0)
    segments = [one for line in lines for one in (*_split_words(line), Segment("\n"))]
    console.print(Segments(segments), end="", soft_wrap=True)
    title = f"poolq top: {clean(snapshot.head.pool)}"
    return _FONTS.sub("", console.export_svg(title=title, unique_id="poolq", theme=THEME))


def _split_words(line: Line) -> Iterator[Segment]:
    """Split at blanks, so that each word gets its own position, since fonts differ in width and
    some viewers drop leading blanks."""
    for segment in line:
        for part in re.split(r"( {2,}|^ )", segment.text):
            if part:
                yield Segment(part, segment.style)
