r"""A progress bar for `poolq run --until-empty` on a terminal without the dashboard.

The bar is the last line of the terminal, and the cursor stays at the bar's beginning. Since the bar
is shorter than any line of the log, the next line that the logger writes covers it. Erasing from
the cursor on removes the bar even if a narrower terminal has wrapped it. `drawing/progress_line.py`
makes the text of the bar; `master/dashboard.py` gives the bar a process of its own.
"""

import os
import signal
import sys
import termios
from contextlib import suppress
from time import monotonic
from types import FrameType

from poolq.config import Config
from poolq.scoreboard.board import Scoreboard
from poolq.system.wakeups import readable

REDRAW_INTERVAL = 0.25  # seconds
ERASE = "\x1b[J"  # from the cursor to the end of the screen
#: A terminal that was narrowed a moment ago cuts the line, instead of wrapping it into rows that
#: nothing would erase.
NO_WRAP, WRAP = "\x1b[?7l", "\x1b[?7h"


class ProgressBar:
    """A `master.dashboard.DashboardProgram`."""

    def __init__(self, config: Config) -> None:
        self._served = config.queue
        self._master = os.getpid()
        self._stop_sent = False

    def run(self, scores: Scoreboard) -> int:
        """Draw until TERM, or until the pool ends."""
        from setproctitle import setproctitle

        from poolq.dashboard.drawing.progress_line import line
        from poolq.dashboard.sources import Source
        from poolq.styling.theme import theme_for

        setproctitle("poolq: dashboard")
        signal.signal(signal.SIGTERM, self._stop)
        for name in (signal.SIGINT, signal.SIGHUP, signal.SIGTTOU, signal.SIGQUIT):
            signal.signal(name, _nothing)
        source, theme = Source(scores, self._master), theme_for(os.environ)
        began = monotonic()
        while not self._stop_sent and os.getppid() == self._master:
            seen = source.snapshot()
            if seen is not None:
                self._draw(line(seen, self._served, monotonic() - began, theme))
            readable((), REDRAW_INTERVAL)
        return self.restore()

    def restore(self) -> int:
        self._draw("")
        return 0

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        self._stop_sent = True

    @staticmethod
    def _draw(text: str) -> None:
        """Draw only in the foreground, and not beyond the terminal's width."""
        with suppress(OSError, termios.error):
            if os.tcgetpgrp(1) == os.getpgrp():
                room = os.get_terminal_size(1).columns - 1
                sys.stdout.write(f"\r{ERASE}{NO_WRAP}{text[:room]}{WRAP}\r")
                sys.stdout.flush()


def wanted(config: Config) -> bool:
    """Return whether the pool ends when its queues are empty, on a terminal that can show a bar."""
    return config.until_empty and os.isatty(1) and os.environ.get("TERM", "") not in ("", "dumb")


def _nothing(_number: int, _frame: FrameType | None) -> None:
    """Ignore the signal, which is meant for the pool on the same terminal."""
