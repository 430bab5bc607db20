"""`poolq top`: a screen for a running pool, in any terminal."""

import sys
from time import monotonic

from poolq.config import Config
from poolq.dashboard import exit_summary, print_once
from poolq.dashboard.loop import Screen
from poolq.dashboard.screen_state import ScreenState
from poolq.dashboard.sources import Source
from poolq.system.wakeups import readable

LINE_INTERVAL = 2.0  # seconds between lines, if the output is not a terminal


def show(source: Source, config: Config, *, read_only: bool) -> None:
    """Show the screen until the user quits or the pool ends, then print a summary."""
    screen = Screen(source, config, ScreenState(read_only=read_only))
    screen.run()
    left = source.orphan() if screen.ended else None
    said = exit_summary.summary(screen.last, ended=screen.ended)
    for line in exit_summary.orphaned(left) if left else said:
        sys.stdout.write(f"poolq: {line}\n")


def lines(source: Source) -> None:
    """Print a line every LINE_INTERVAL seconds until the pool ends."""
    due = monotonic()
    while (found := source.snapshot()) is not None:
        if monotonic() >= due:
            due += LINE_INTERVAL
            sys.stdout.write(f"{print_once.one_line(found)}\n")
            sys.stdout.flush()
        readable((), 0.25)
    left = source.orphan()
    text = exit_summary.orphaned(left)[0] if left else "the pool has ended"
    sys.stdout.write(f"{text}\n")
