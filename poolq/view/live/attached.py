"""`poolq top`: a screen of a pool that runs already, in a terminal of its own."""

import os
import sys
from time import monotonic

from poolq.config import Config
from poolq.pool.client import Line
from poolq.view import once
from poolq.view.live import farewell
from poolq.view.live.acts import Acts
from poolq.view.live.hands import Hands
from poolq.view.live.loop import Screen
from poolq.view.live.terminal import Terminal
from poolq.view.screen.look import look_for
from poolq.view.screen.state import State
from poolq.view.source import Source
from poolq.worker.readable import readable

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
    for line in farewell.summary(screen.last, ended=screen.ended):
        sys.stdout.write(f"poolq: {line}\n")


def lines(source: Source) -> None:
    """A line every PERIOD, until the pool ends; Ctrl-C and a closed pipe end it as any command."""
    due = monotonic()
    while (found := source.look()) is not None:
        if monotonic() >= due:
            due += PERIOD
            sys.stdout.write(f"{once.one_line(found)}\n")
            sys.stdout.flush()
        readable((), 0.25)
    sys.stdout.write("the pool has ended\n")
