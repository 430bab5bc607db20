"""Frames of the dashboard as text."""

from __future__ import annotations

from poolq.dashboard.drawing import frame
from poolq.dashboard.screen_state import ScreenState
from poolq.monitor.snapshot import Snapshot
from poolq.styling.theme import Theme, make_theme

COLOURED = make_theme(colour=True, ascii_only=False)
ASCII = make_theme(colour=False, ascii_only=True)


def shown(
    pool: Snapshot,
    size: tuple[int, int],
    state: ScreenState | None = None,
    theme: Theme = COLOURED,
) -> list[str]:
    """The lines of the screen."""
    drawn = frame.draw(pool, state or ScreenState(), theme, size, 0.0)
    return ["".join(segment.text for segment in line) for line in drawn]


def screen_text(
    pool: Snapshot,
    size: tuple[int, int],
    state: ScreenState | None = None,
    theme: Theme = COLOURED,
) -> str:
    return "\n".join(shown(pool, size, state, theme))
