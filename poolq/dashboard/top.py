"""`poolq top`: a screen for a running pool, in any terminal."""

import sys

from poolq.config import Config
from poolq.dashboard import exit_summary
from poolq.dashboard.loop import Screen
from poolq.dashboard.screen_state import ScreenState
from poolq.dashboard.sources import Source


def show(source: Source, config: Config, *, read_only: bool) -> None:
    """Show the screen until the user quits or the pool ends, then print a summary."""
    screen = Screen(source, config, ScreenState(read_only=read_only))
    screen.run()
    left = source.orphan() if screen.ended else None
    said = exit_summary.summary(screen.last, ended=screen.ended)
    for line in exit_summary.orphaned(left) if left else said:
        sys.stdout.write(f"poolq: {line}\n")
