"""What jobs wrote down beside the broker: the facts that a test checks.

The jobs' side (`note`, `gate`) runs in the pool's workers, in the project folder; a line is one
append. One that a kill has cut at a page's end is left out. The test's side is `Ledger`.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from pathlib import Path
from threading import Event
from typing import NamedTuple

from tests.support.wait import until

FILE = "ledger.txt"
FOLDER = "LEDGER"  # the environment variable that names the folder


def note(what: str, id: str) -> None:
    """Write that something happened to a job."""
    line = f"\n{what} {id} {os.getpid()} {time.monotonic()}\n"
    file = os.open(Path(os.environ[FOLDER]) / FILE, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(file, line.encode())
    os.close(file)


def gate(name: str) -> None:
    """Wait until the test has opened this gate."""
    way = Path(os.environ[FOLDER]) / f"{name}.gate"
    while not way.exists():
        Event().wait(0.005)


class Line(NamedTuple):
    """`at` is the machine's monotonic clock, in seconds: the same for every process."""

    what: str
    id: str
    pid: int
    at: float


class Ledger:
    """The ledger of a project folder, as the test reads it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def open(self, gate: str = "open") -> None:
        """Let all pass that wait at a gate, now and later."""
        (self.folder / f"{gate}.gate").touch()

    def lines(self, what: str | None = None, id: str | None = None) -> list[Line]:
        """All lines (of a kind, and of a job), oldest first."""
        try:
            text = (self.folder / FILE).read_text()
        except FileNotFoundError:
            return []
        whole, _, _ = text.rpartition("\n")  # the last line may be only half there, at a page's end
        words = [line.split() for line in whole.splitlines()]
        found = [Line(one[0], one[1], int(one[2]), float(one[3])) for one in words if len(one) == 4]
        return [line for line in found if what in (None, line.what) and id in (None, line.id)]

    def until(
        self, what: str, id: str | None = None, times: int = 1, timeout: float = 30
    ) -> list[Line]:
        """Wait until it has happened so often; the lines."""

        def look() -> list[Line]:
            found = self.lines(what, id)
            return found if len(found) >= times else []

        return until(look, timeout, f"{times} times {what!r} of {id or 'any job'} in the ledger")

    def ids(self, what: str) -> list[str]:
        return [line.id for line in self.lines(what)]

    def times(self, what: str) -> Counter[str]:
        """How often it happened to each job."""
        return Counter(self.ids(what))
