r"""A progress bar for `poolq run --until-empty` on a terminal without the dashboard.

It is the last line, shorter than any of the log (`drawing/progress_line.py`), and the cursor stays
at its beginning: so a line that the logger writes covers it, and where a terminal that was narrowed
has wrapped it, all of it is erased from there. A process beside the pool draws it; see
`master/dashboard.py`.
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
from poolq.system.poll import readable

PAUSE = 0.25  # seconds
ERASE = "\x1b[J"  # from the cursor to the end


class Bar:
    """A `master.dashboard.Show`."""

    def __init__(self, config: Config) -> None:
        self._served = config.queue
        self._master = os.getpid()
        self._told = False

    def run(self, scores: Scoreboard) -> int:
        """Until TERM, or the end of the pool."""
        from setproctitle import setproctitle

        from poolq.dashboard.drawing.progress_line import line
        from poolq.dashboard.drawing.theme import look_for
        from poolq.dashboard.sources import Inherited

        setproctitle("poolq: dashboard")
        signal.signal(signal.SIGTERM, self._stop)
        for name in (signal.SIGINT, signal.SIGHUP, signal.SIGTTOU, signal.SIGQUIT):
            signal.signal(name, _nothing)
        source, look = Inherited(scores, self._master), look_for(os.environ)
        began = monotonic()
        while not self._told and os.getppid() == self._master:
            seen = source.look()
            if seen is not None:
                self._draw(line(seen, self._served, monotonic() - began, look))
            readable((), PAUSE)
        return self.restore()

    def restore(self) -> int:
        self._draw("")
        return 0

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        self._told = True

    @staticmethod
    def _draw(text: str) -> None:
        """Nothing in the background, and nothing beyond the terminal's width."""
        with suppress(OSError, termios.error):
            if os.tcgetpgrp(1) == os.getpgrp():
                room = os.get_terminal_size(1).columns - 1
                sys.stdout.write(f"\r{ERASE}{text[:room]}\r")
                sys.stdout.flush()


def wanted(config: Config) -> bool:
    """It would be seen, and there is an end to be seen coming."""
    return config.until_empty and os.isatty(1) and os.environ.get("TERM", "") not in ("", "dumb")


def _nothing(_number: int, _frame: FrameType | None) -> None:
    """Meant for the pool, which shares the terminal."""
