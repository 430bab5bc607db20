"""How long a worker's jobs took, counted by outcome, queue and job.

- Each (outcome, queue, job) has a cell in shared memory. A cell has the sum of all durations and,
  for each range of durations, a bucket that counts jobs. So counting a job is two additions, which
  `worker_row.py` makes itself. The number of jobs is the sum of the buckets.
- WAIT is not an outcome. Its cells count how long jobs had been due when they started.
- Cells belong to a row of the scoreboard, not to its worker. The row's next worker continues them,
  so no counter ever decreases. When all cells are in use, new kinds of jobs count as OTHER.
- There is one writer. A reader sees the old or the new value of each word (8 bytes). It sees a cell
  only when the cell's name is complete.
"""

from typing import NamedTuple

from poolq.scoreboard.shared_text import WORD

#: Upper bounds of the buckets, in seconds; one more bucket is for longer durations.
BOUNDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
BUCKETS = len(BOUNDS) + 1
CELLS = 96
RESERVED_CELLS = 8  # cells for OTHER
WAIT = 0  # no outcome has this number
OTHER = "other"  # queue and job of the kinds that have no cell of their own
# Words of a cell: buckets, the sum of seconds (a double), the name's length, the name.
SUM, _LENGTH, _TEXT = BUCKETS, BUCKETS + 1, BUCKETS + 2
_CELL = 80
_ROOM = (_CELL - _TEXT) * WORD
_FIRST = WORD  # words before the first cell; word 0 is the number of cells in use
HISTOGRAM_BYTES = (_FIRST + CELLS * _CELL) * WORD


class HistogramKey(NamedTuple):
    """`outcome`: WAIT, or the index of the word of a worker's row that counts it, such as DONE."""

    outcome: int
    queue: str
    job: str


class Cell(NamedTuple):
    """`seconds`: the sum of all durations."""

    buckets: tuple[int, ...]
    seconds: float

    @property
    def jobs(self) -> int:
        return sum(self.buckets)


class Histogram:
    """The worker's side: creates a cell for the first job of a kind, and adds to it."""

    __slots__ = ("_bytes", "cells", "sums", "words")

    def __init__(self, memory: memoryview) -> None:
        self._bytes = memory
        self.words = memory.cast("Q")
        self.sums = memory.cast("d")
        # Keys are plain tuples, since one is created for every job.
        self.cells = {tuple(key): base_of(index) for index, key in enumerate(keys(memory)) if key}

    def open(self, outcome: int, queue: str, job: str) -> int:
        """Create the cell of a new kind of job; return the index of the cell's first word."""
        number = self.words[0]
        # The last cells are reserved for the OTHER of each outcome.
        if number >= CELLS - RESERVED_CELLS and (queue, job) != (OTHER, OTHER):
            cell = self.cells.get((outcome, OTHER, OTHER))
            return cell if cell is not None else self.open(outcome, OTHER, OTHER)
        name = f"{outcome}\0{queue}\0{job}".encode()[:_ROOM]
        base = base_of(number)
        start = (base + _TEXT) * WORD
        self._bytes[start : start + len(name)] = name
        self.words[base + _LENGTH] = len(name)
        self.words[0] = number + 1
        self.cells[outcome, queue, job] = base
        return base


def base_of(index: int) -> int:
    return _FIRST + index * _CELL


def keys(memory: memoryview, first: int = 0) -> list[HistogramKey | None]:
    """Return the keys of the cells from number `first` on; None for each that cannot be read."""
    words = memory.cast("Q")
    cell_keys: list[HistogramKey | None] = []
    for index in range(first, min(words[0], CELLS)):
        base = base_of(index)
        start = (base + _TEXT) * WORD
        raw = bytes(memory[start : start + min(words[base + _LENGTH], _ROOM)])
        outcome, _, names = raw.decode("utf-8", "replace").partition("\0")
        queue, _, job = names.partition("\0")
        cell_keys.append(HistogramKey(int(outcome), queue, job) if outcome.isdecimal() else None)
    return cell_keys


class HistogramReader:
    """Reads one row's histogram. It reads the name of each cell only once."""

    def __init__(self, memory: memoryview) -> None:
        self._bytes = memory
        self._words = memory.cast("Q")
        self._sums = memory.cast("d")
        self._keys: list[HistogramKey | None] = []

    def read(self) -> list[tuple[HistogramKey, Cell]]:
        words = self._words
        if words[0] > len(self._keys):
            self._keys += keys(self._bytes, len(self._keys))
        cells = []
        for index, key in enumerate(self._keys):
            if key is not None:
                base = base_of(index)
                buckets = tuple(words[base : base + BUCKETS].tolist())
                cells.append((key, Cell(buckets, self._sums[base + SUM])))
        return cells
