"""`poolq top`: a screen of a pool that runs already, in a terminal of its own."""

import os
import sys
from time import monotonic

from poolq.config import Config
from poolq.control.client import Line
from poolq.dashboard import exit_summary, print_once
from poolq.dashboard.action_runner import Hands
from poolq.dashboard.actions import Acts
from poolq.dashboard.drawing.theme import look_for
from poolq.dashboard.loop import Screen
from poolq.dashboard.screen_state import State
from poolq.dashboard.sources import Source
from poolq.dashboard.terminal import Terminal
from poolq.system.poll import readable

PERIOD = 2.0  # seconds between the lines for a pipe


def show(source: Source, config: Config, *, read_only: bool) -> None:
    """Until a person leaves, or the pool ends, which is said then."""
    look = look_for(os.environ)
    terminal = Terminal(ascii_only=look.ascii_only)

    def broker() -> str:
        return screen.last.head.broker if screen.last else ""

    hands = Hands(Acts(config, lambda: Line(config.name, os.environ), source.stack, broker))
    screen = Screen(source, terminal, look, State(read_only=read_only), hands)
    screen.run()
    for line in exit_summary.summary(screen.last, ended=screen.ended):
        sys.stdout.write(f"poolq: {line}\n")


def lines(source: Source) -> None:
    """A line every PERIOD, until the pool ends; Ctrl-C and a closed pipe end it as any command."""
    due = monotonic()
    while (found := source.look()) is not None:
        if monotonic() >= due:
            due += PERIOD
            sys.stdout.write(f"{print_once.one_line(found)}\n")
            sys.stdout.flush()
        readable((), 0.25)
    sys.stdout.write("the pool has ended\n")
