"""Shows how far a long command is, and ends it in an orderly way on Ctrl-C.

The count is shown on stderr, only on a terminal, and only if the command takes more than two
seconds.
The first Ctrl-C takes effect between two batches, so that the number of changed jobs is exact. A
second one interrupts the batch.
"""

import os
import signal
import sys
from time import monotonic
from types import FrameType, TracebackType
from typing import Self

import click

from poolq.acts.filters import jobs
from poolq.cli.options import warn

SHOW_AFTER = 2.0  # seconds
ERASE = "\r\x1b[K"


class Progress:
    """Counts jobs. `done` says what has happened to them, such as "cancelled"."""

    def __init__(self, done: str) -> None:
        self.count = 0
        self._done = done
        self._began = monotonic()
        self._is_terminal = sys.stderr.isatty() and os.environ.get("TERM", "") not in ("", "dumb")
        self._interrupts = 0
        self._handler = signal.getsignal(signal.SIGINT)

    def __enter__(self) -> Self:
        if self._handler is signal.default_int_handler:  # if the shell ignores Ctrl-C, so do we
            signal.signal(signal.SIGINT, self._interrupt)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _error: object, _trace: TracebackType | None
    ) -> None:
        signal.signal(signal.SIGINT, self._handler)
        if self._is_terminal:
            sys.stderr.write(ERASE)
        if kind is KeyboardInterrupt:
            least = "at least " if self._interrupts > 1 else ""
            count = f"{least}{jobs(self.count)}"
            click.echo("", err=True)  # after the ^C that the terminal shows
            warn(f"interrupted; {count} {self._done}")
            raise click.Abort

    def add(self, count: int) -> None:
        """Count jobs of a batch. Raises KeyboardInterrupt if Ctrl-C was pressed in the meantime."""
        self.count += count
        if self._interrupts:
            raise KeyboardInterrupt
        if self._is_terminal and monotonic() - self._began >= SHOW_AFTER:
            sys.stderr.write(f"{ERASE}{jobs(self.count)} {self._done}")
            sys.stderr.flush()

    def _interrupt(self, _number: int, _frame: FrameType | None) -> None:
        self._interrupts += 1
        if self._interrupts > 1:
            raise KeyboardInterrupt
