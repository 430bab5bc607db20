"""How many jobs have run, where the driver can see it: a file that all workers map.

A job calls `count()`: one store into a cell of its thread's own, some 0.1 µs, the same for every
contender. `late()` notes beside the broker how long a job took from its dispatch to its start,
`span()` when it ran, and where; `flaky()` lets it fail once. Only the standard library is used:
this module is imported in every contender's environment.
"""

import fcntl
import mmap
import os
import struct
import threading
from pathlib import Path
from time import monotonic_ns

CELLS = 4096
SIZE = (1 + 2 * CELLS) * 8  # cells taken; then how often each counted; then whose each is
VARIABLE = "BENCH_TALLY"


class _Own(threading.local):
    """The cell of a thread: taken when it first counts."""

    def __init__(self) -> None:
        self.number = _take()


_words: memoryview | None = None
_own: _Own | None = None


def _map(path: str) -> memoryview:
    with Path(path).open("r+b") as file:
        return memoryview(mmap.mmap(file.fileno(), SIZE)).cast("Q")


def _take() -> int:
    global _words  # one map a process
    if _words is None:
        _words = _map(os.environ[VARIABLE])
    with Path(os.environ[VARIABLE]).open("r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        number = _words[0] + 1
        if number > CELLS:
            raise RuntimeError(f"more than {CELLS} threads have counted jobs")
        _words[0] = number
    _words[CELLS + number] = os.getpid()
    return number


def _begin() -> None:
    """A process that counts for the first time, and a forked one, has cells of its own."""
    global _own
    _own = _Own()


def _forget() -> None:
    global _own
    _own = None


os.register_at_fork(after_in_child=_forget)


def count() -> None:
    """A job has run."""
    if _own is None:
        _begin()
    _words[_own.number] += 1


def late(sent: int) -> None:
    """A job that was dispatched at `sent` (monotonic nanoseconds) has started."""
    now = monotonic_ns()
    file = os.open(f"{os.environ[VARIABLE]}.late", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(file, struct.pack("q", now - sent))
    os.close(file)


def span(number: int, began: int) -> None:
    """The job of this number ends now; it began at `began` (monotonic nanoseconds)."""
    now = monotonic_ns()
    file = os.open(f"{os.environ[VARIABLE]}.spans", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(file, struct.pack("4q", number, os.getpid(), began, now))
    os.close(file)


class Again(Exception):
    """With this, the first run of a flaky job fails."""


def flaky(number: int) -> None:
    """The job of this number runs. Its first run fails; each run notes when it began, the first one
    as span `2 * number`, the second one as the next. Raises Again."""
    began = monotonic_ns()
    try:
        os.close(os.open(f"{os.environ[VARIABLE]}.flaky-{number}", os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        span(2 * number + 1, began)
    else:
        span(2 * number, began)
        raise Again


class Tally:
    """The driver's view. A new one begins at nothing."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.write_bytes(bytes(SIZE))
        self._late = Path(f"{path}.late")
        self._late.unlink(missing_ok=True)
        self._spans = Path(f"{path}.spans")
        self._spans.unlink(missing_ok=True)
        self._words = _map(str(path))

    def total(self) -> int:
        """How many jobs have run."""
        return sum(self._words[1 : 1 + self._words[0]])

    def processes(self) -> int:
        """How many processes have run some."""
        taken = self._words[0]
        return len({self._words[CELLS + cell] for cell in range(1, taken + 1) if self._words[cell]})

    def waits(self) -> list[int]:
        """What `late` has noted, in nanoseconds."""
        raw = self._late.read_bytes() if self._late.exists() else b""
        return [wait for (wait,) in struct.iter_unpack("q", raw[: len(raw) // 8 * 8])]

    def spans(self) -> list[tuple[int, int, int, int]]:
        """What `span` has noted: number, process, begin and end."""
        raw = self._spans.read_bytes() if self._spans.exists() else b""
        return list(struct.iter_unpack("4q", raw[: len(raw) // 32 * 32]))
