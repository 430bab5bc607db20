"""The scoreboard: shared memory with a row a process, one writer for each part.

- Rows belong to spawns, not to slots: a dead worker's row stays until the keeper has confirmed
  that its claims were recovered. So a replaced keeper finds everything here; messages between
  processes are only bells.
- The master writes the master's part, the worker the worker's part (`worker/row.py`), the keeper
  its own words. Words are single stores of 8 bytes; readers see old or new, never half of one.

Layout: HEAD words of the keeper, then a confirm word a row, then the rows.
"""

import mmap
import os
import sys
from dataclasses import dataclass
from enum import IntEnum

from poolq.worker import row as words
from poolq.worker.row import WorkerRow

HEAD = 16  # words
MASTER = 16  # words of the master's part, before the worker's
ROW = (MASTER + words.WORDS) * 8  # bytes

# The keeper's words.
KEEPER_BEAT, KEEPER_READY, KEEPER_EMPTY, KEEPER_FAILURES = range(4)
# The master's words of a row.
STATUS, PID, SEQ, SLOT, GENERATION, SIGNAL, EXIT, CHARGED = range(8)


UNSEEN = 1 << 32


class Status(IntEnum):
    """Of a row."""

    FREE = 0
    LIVE = 1
    DEAD = 2


@dataclass(frozen=True, slots=True)
class Row:
    """A copy of a row's words, taken at one moment."""

    index: int
    status: int
    pid: int
    seq: int
    slot: int
    generation: int
    signal: int
    exit_code: int
    charged: bool
    phase: int
    request: int
    finished: int
    started: int
    since: int
    done: int
    failed: int
    retried: int
    limited: int
    parked: int

    @property
    def in_job(self) -> bool:
        """True if a job was in `run()`, or failing, at that moment."""
        return self.phase == words.Phase.BUSY and self.started > self.finished


class Scoreboard:
    """Made by the master, inherited by its children."""

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self._base = (HEAD + rows) * 8
        self._base += -self._base % 64
        size = self._base + rows * ROW
        self._memory = memoryview(_shared(size))
        self._head = self._memory[: (HEAD + rows) * 8].cast("Q")
        self._master = [self._part(index, 0, MASTER).cast("Q") for index in range(rows)]
        self._workers = [self._part(index, MASTER, MASTER + words.WORDS) for index in range(rows)]

    def _part(self, index: int, first: int, last: int) -> memoryview:
        start = self._base + index * ROW
        return self._memory[start + first * 8 : start + last * 8]

    # the master

    def take(self, seq: int, slot: int, generation: int) -> int | None:
        """A row for a new worker, before it is forked; None when all wait for the keeper."""
        for index, own in enumerate(self._master):
            if own[STATUS] == Status.FREE:
                WorkerRow(self._workers[index]).clear()
                own[PID] = own[SIGNAL] = own[EXIT] = 0
                own[CHARGED] = 1
                own[SEQ], own[SLOT], own[GENERATION] = seq, slot, generation
                own[STATUS] = Status.LIVE
                return index
        return None

    def born(self, index: int, pid: int) -> None:
        self._master[index][PID] = pid

    def pardon(self, index: int) -> None:
        """The worker is killed for no fault of its job's: nothing shall be counted."""
        self._master[index][CHARGED] = 0

    def died(self, index: int, signal: int, exit_code: int) -> None:
        """What became of the worker; `exit_code` UNSEEN: nobody knows."""
        own = self._master[index]
        own[SIGNAL], own[EXIT] = signal, exit_code
        own[STATUS] = Status.DEAD

    def drop(self, index: int) -> None:
        """The worker of this row was never born."""
        self._master[index][STATUS] = Status.FREE

    def free(self) -> None:
        """Give the rows free whose recovery the keeper has confirmed."""
        for index, own in enumerate(self._master):
            if own[STATUS] == Status.DEAD and self._head[HEAD + index] == own[SEQ]:
                own[STATUS] = Status.FREE

    def unconfirmed(self) -> int:
        """Dead workers whose claims are not recovered yet."""
        return sum(own[STATUS] == Status.DEAD for own in self._master)

    # the worker

    def worker(self, index: int) -> WorkerRow:
        return WorkerRow(self._workers[index])

    # the keeper

    def confirm(self, row: Row) -> None:
        """The claims of this dead worker are recovered."""
        self._head[HEAD + row.index] = row.seq

    def confirmed(self, row: Row) -> bool:
        return self._head[HEAD + row.index] == row.seq

    def tell(self, word: int, value: int) -> None:
        """Write one of the keeper's words."""
        self._head[word] = value

    def told(self, word: int) -> int:
        return self._head[word]

    # everybody

    def read(self, index: int) -> Row:
        own = self._master[index]
        theirs = self._workers[index].cast("Q")
        return Row(
            index, own[STATUS], own[PID], own[SEQ], own[SLOT], own[GENERATION],
            own[SIGNAL], own[EXIT], bool(own[CHARGED]),
            theirs[words.PHASE], theirs[words.REQUEST], theirs[words.FINISHED],
            theirs[words.STARTED], theirs[words.SINCE],
            theirs[words.DONE], theirs[words.FAILED], theirs[words.RETRIED],
            theirs[words.LIMITED], theirs[words.PARKED],
        )  # fmt: skip

    def all(self) -> list[Row]:
        """The rows in use."""
        rows = (self.read(index) for index in range(self.rows))
        return [row for row in rows if row.status != Status.FREE]

    def phase(self, index: int) -> int:
        return self._workers[index].cast("Q")[words.PHASE]

    def is_idle(self, index: int) -> bool:
        """A live worker that waits for its doorbell."""
        return self._master[index][STATUS] == Status.LIVE and self.phase(index) == words.Phase.IDLE


def _shared(size: int) -> mmap.mmap:
    if sys.platform != "linux":
        return mmap.mmap(-1, size)
    fd = os.memfd_create("poolq-scoreboard", os.MFD_CLOEXEC)
    try:
        os.ftruncate(fd, size)
        return mmap.mmap(fd, size)
    finally:
        os.close(fd)
