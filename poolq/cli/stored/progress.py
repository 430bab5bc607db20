"""Shows how far a long command is, and ends it in an orderly way on Ctrl-C.

The bar is drawn on stderr, only on a terminal, and only if the command takes more than two seconds.
The first Ctrl-C takes effect between two batches, so that the number of changed jobs is exact. A
second one interrupts the batch.
"""

import os
import shutil
import signal
import sys
from time import monotonic
from types import FrameType, TracebackType
from typing import Self

import click

from poolq.acts.filters import jobs
from poolq.cli.options import warn

SHOW_AFTER, REDRAW_INTERVAL = 2.0, 0.1  # seconds
GAUGE_WIDTH = 20
ERASE = "\r\x1b[K"


class Progress:
    """Counts jobs that are `passive` ("cancelled"). `total`: how many will be counted, if known."""

    def __init__(self, passive: str, total: int | None = None) -> None:
        self.count = 0
        self._passive = passive
        self._total = total
        self._began = monotonic()
        self._drawn = 0.0
        self._interrupts = 0
        self._handler = signal.getsignal(signal.SIGINT)

    def __enter__(self) -> Self:
        if self._handler is signal.default_int_handler:  # not if the shell ignores it for us
            signal.signal(signal.SIGINT, self._interrupt)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _error: object, _trace: TracebackType | None
    ) -> None:
        signal.signal(signal.SIGINT, self._handler)
        self._erase()
        if kind is KeyboardInterrupt:
            least = "at least " if self._interrupts > 1 else ""
            count = f"{least}{jobs(self.count)}"
            click.echo("", err=True)  # after the ^C that the terminal shows
            warn(f"interrupted; {count} {self._passive}")
            raise click.Abort

    def add(self, count: int) -> None:
        """Count jobs of a batch. Raises KeyboardInterrupt if Ctrl-C was pressed in the meantime."""
        self.count += count
        if self._interrupts:
            raise KeyboardInterrupt
        now = monotonic()
        if now - self._began >= SHOW_AFTER and now - self._drawn >= REDRAW_INTERVAL:
            self._draw(now)

    def _interrupt(self, _number: int, _frame: FrameType | None) -> None:
        self._interrupts += 1
        if self._interrupts > 1:
            raise KeyboardInterrupt

    def _draw(self, now: float) -> None:
        if not sys.stderr.isatty() or os.environ.get("TERM", "") in ("", "dumb"):
            return
        from poolq.styling.theme import theme_for

        width = shutil.get_terminal_size().columns - 1
        text = line(self.count, self._total, self._passive, theme_for(os.environ).full)
        sys.stderr.write(f"{ERASE}{text[:width]}")
        sys.stderr.flush()
        self._drawn = now

    def _erase(self) -> None:
        if self._drawn:
            sys.stderr.write(ERASE)
            sys.stderr.flush()


def line(count: int, total: int | None, passive: str, full: str) -> str:
    """Return the text of the bar: ` 62% ████████             1240 of 2000 cancelled`."""
    if not total:
        return f"{count} {passive}"
    share = min(1.0, count / total)  # the total may be an estimate, or grow
    gauge = full * int(share * GAUGE_WIDTH)
    return f"{int(share * 100):3d}% {gauge:<{GAUGE_WIDTH}} {count} of {max(count, total)} {passive}"
