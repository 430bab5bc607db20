"""The scoreboard: shared memory with a row a process, one writer for each part.

- Rows belong to spawns, not to slots: a dead worker's row stays until the keeper has confirmed
  that its claims were recovered. So a replaced keeper finds everything here; messages between
  processes are only wake-ups.
- The master writes the master's part, the worker the worker's part (`worker_row.py`), the keeper
  its own words. Words are single stores of 8 bytes; readers see old or new, never half of one.

Layout: HEAD words, then for each row four words of the keeper's (confirmed, memory, processor time,
growth of memory), then the rows, then what is told at more length (`pages.py`).
"""

import mmap
import os
import sys
from enum import IntEnum

import msgspec

from poolq.scoreboard import pages
from poolq.scoreboard import worker_row as words
from poolq.scoreboard.notes import Notes
from poolq.scoreboard.pages import Pages
from poolq.scoreboard.start_order import StartOrder
from poolq.scoreboard.worker_row import WorkerRow
from poolq.system.stack_dump import read_stack

HEAD = 32  # words
MASTER = 16  # words of the master's part, before the worker's
ROW = (MASTER + words.WORDS) * 8  # bytes

# The keeper's words, then the master's. NEXT_LOOK: when the master looks; WEIGHED: when the last
# round of weighing began, so that no busy worker's RSS is older; MASTER_BEAT: when the master last
# looked; WATCHED: when the waiter did. All in monotonic nanoseconds. Who master and keeper are, and
# how many rows there are, is for those who find this memory when both are dead
# (`keeper/abandoned.py`).
KEEPER_BEAT, KEEPER_READY, KEEPER_EMPTY, BROKER_UP, LOGGER_BEAT, BROKER_SEEN = range(6)
NEXT_LOOK, PAUSED, WEIGHED, MASTER_BEAT = words.NEXT_LOOK, words.PAUSED, 17, 18
WATCHED = words.WATCHED
MASTER_PID, MASTER_STARTED, KEEPER_PID, KEEPER_STARTED, ROWS = range(24, 29)
# The master's words of a row.
STATUS, PID, SEQ, SLOT, GENERATION, SIGNAL, EXIT, CHARGED, REASON = range(9)
STOP_REQUESTED = words.STOP_REQUESTED

#: The exit code of a worker whose end nobody saw.
EXIT_UNKNOWN = 1 << 32
_ZERO = 1 << 62  # what a growth of 0 is written as


class RowStatus(IntEnum):
    """Of a row."""

    FREE = 0
    LIVE = 1
    DEAD = 2


class KillReason(IntEnum):
    """Why the master killed a worker in mid-job."""

    NONE = 0
    TIMEOUT = 1
    MEMORY = 2


class Row(msgspec.Struct, frozen=True, gc=False):
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
    kill_reason: int
    phase: int
    request: int
    previous_request: int
    settled_below: int
    finished: int
    started: int
    since: int
    beat: int
    deadline: int
    timeout: int
    attempt: int
    retry_delay: int
    rss_at_start: int
    done: int
    failed: int
    retried: int
    limited: int
    parked: int
    rss: int
    cpu: int
    rss_growth: int | None

    @property
    def in_job(self) -> bool:
        """True if a job was in `run()`, or failing, at that moment."""
        return self.phase == words.Phase.BUSY and self.started > self.ended

    @property
    def ended(self) -> int:
        """Of the claims of its request, those below this have come to some end."""
        return max(self.finished, self.settled_below)

    @property
    def has_deadline(self) -> bool:
        """True if user code ran that has a deadline: `run()` or a hook."""
        return self.phase == words.Phase.BUSY and self.deadline > 0

    @property
    def settled_jobs(self) -> int:
        """How many jobs it has brought to some end."""
        return self.done + self.failed + self.retried + self.limited + self.parked


class Scoreboard:
    """Made by the master (`fd` None), inherited by its children or opened from `fd`."""

    def __init__(
        self, rows: int, fd: int | None = None, *, look: bool = False, node: str = ""
    ) -> None:
        """`look`: only to read it; `node`: whose it is."""
        self.rows = rows
        self._base, told, size = _places(rows)
        self.fd = _create(name_of(node), size) if fd is None else fd
        may = mmap.PROT_READ if look else mmap.PROT_READ | mmap.PROT_WRITE
        self._memory = memoryview(mmap.mmap(self.fd, size, prot=may))
        self._head = self._memory[: (HEAD + 4 * rows) * 8].cast("Q")
        self.pages = Pages(self._memory[told:], rows)
        self._master = [self._part(index, 0, MASTER).cast("Q") for index in range(rows)]
        self._workers = [self._part(index, MASTER, MASTER + words.WORDS) for index in range(rows)]
        self._words = [part.cast("Q") for part in self._workers]

    def _part(self, index: int, first: int, last: int) -> memoryview:
        start = self._base + index * ROW
        return self._memory[start + first * 8 : start + last * 8]

    # the master

    def set_master(self, pid: int, started: int) -> None:
        """Say whose it is to those who find it when the pool is dead."""
        self._head[MASTER_PID], self._head[MASTER_STARTED] = pid, started
        self._head[ROWS] = self.rows

    def allocate(self, seq: int, slot: int, generation: int) -> int | None:
        """A row for a new worker, before it is forked; None when all wait for the keeper."""
        for index, own in enumerate(self._master):
            if own[STATUS] == RowStatus.FREE:
                words.clear(self._words[index])
                self.set_usage(index, 0, 0, None)
                own[PID] = own[SIGNAL] = own[EXIT] = own[REASON] = own[STOP_REQUESTED] = 0
                own[CHARGED] = 1
                own[SEQ], own[SLOT], own[GENERATION] = seq, slot, generation
                own[STATUS] = RowStatus.LIVE
                return index
        return None

    def set_pid(self, index: int, pid: int) -> None:
        """Its worker may begin: it waits until it reads its own pid here."""
        self._master[index][PID] = pid

    def request_stop(self, index: int) -> None:
        """The worker shall finish its job and leave. It reads this before each claim and each
        start, so no signal need be heard."""
        self._master[index][STOP_REQUESTED] = 1

    def suppress_crash(self, index: int) -> None:
        """The worker is killed for no fault of its job's: nothing shall be counted."""
        self._master[index][CHARGED] = 0

    def set_kill_reason(self, index: int, reason: KillReason) -> None:
        """The worker is killed for what its job does."""
        self._master[index][REASON] = reason

    def set_dead(self, index: int, signal: int, exit_code: int) -> None:
        """What became of the worker; `exit_code` UNSEEN: nobody knows."""
        own = self._master[index]
        own[SIGNAL], own[EXIT] = signal, exit_code
        own[STATUS] = RowStatus.DEAD

    def announce_check(self, due: int, since: int) -> int:
        """Tell the workers when the master will look next; returns that, or the first deadline
        before it that was set after `since`, the last look. Monotonic ns.

        A worker sets its deadline and then reads this, so one of the two sees the other's.
        """
        self._head[NEXT_LOOK] = due
        for own, theirs in zip(self._master, self._words, strict=True):
            if own[STATUS] == RowStatus.LIVE and since < theirs[words.DEADLINE] < due:
                due = theirs[words.DEADLINE]
        self._head[NEXT_LOOK] = due
        return due

    def release(self, index: int) -> None:
        """The worker of this row was never born."""
        self._master[index][STATUS] = RowStatus.FREE

    def free_recovered(self) -> None:
        """Give the rows free whose recovery the keeper has confirmed."""
        for index, own in enumerate(self._master):
            if own[STATUS] == RowStatus.DEAD and self._head[HEAD + index] == own[SEQ]:
                own[STATUS] = RowStatus.FREE

    def unrecovered(self) -> int:
        """Dead workers whose claims are not recovered yet."""
        return sum(own[STATUS] == RowStatus.DEAD for own in self._master)

    # the worker

    def worker_row(self, index: int) -> WorkerRow:
        notes = Notes(self.pages.notes(index), self.pages.warned)
        return WorkerRow(self._workers[index], self._head, self._master[index], notes)

    def start_order(self, index: int) -> StartOrder:
        """How this worker sees what the others are at."""
        peers = [words for at, words in enumerate(self._words) if at != index]
        return StartOrder(peers, self.pages.limits)

    def pid(self, index: int) -> int:
        return self._master[index][PID]

    # the keeper

    def confirm_recovery(self, row: Row) -> None:
        """The claims of this dead worker are recovered."""
        self._head[HEAD + row.index] = row.seq

    def is_recovered(self, row: Row) -> bool:
        return self._head[HEAD + row.index] == row.seq

    def dead_rows(self) -> list[Row]:
        """The rows of dead workers whose claims are not recovered yet."""
        dead = (index for index, own in enumerate(self._master) if own[STATUS] == RowStatus.DEAD)
        return [row for row in map(self.read, dead) if not self.is_recovered(row)]

    def set_usage(self, index: int, rss: int, cpu: int, growth: int | None) -> None:
        """A worker's resident memory in bytes, its share of a core in thousandths, and bytes a
        minute that its memory grows by (None: not known yet)."""
        at = HEAD + self.rows + index
        self._head[at] = rss
        self._head[at + self.rows] = cpu
        self._head[at + 2 * self.rows] = 0 if growth is None else growth + _ZERO

    def set_word(self, word: int, value: int) -> None:
        """Write a word of the head; each has one writer."""
        self._head[word] = value

    def word(self, word: int) -> int:
        return self._head[word]

    # everybody

    def open_readonly(self) -> int:
        """A descriptor by which it can only be read."""
        return os.open(f"/proc/self/fd/{self.fd}", os.O_RDONLY | os.O_CLOEXEC)

    def close(self) -> None:
        """For one who only looked."""
        os.close(self.fd)

    def read(self, index: int) -> Row:
        own, theirs = self._master[index], self._words[index]
        rss, cpu, growth = self._head[HEAD + self.rows + index :: self.rows].tolist()
        return Row(
            index, own[STATUS], own[PID], own[SEQ], own[SLOT], own[GENERATION],
            own[SIGNAL], own[EXIT], bool(own[CHARGED]), own[REASON],
            theirs[words.PHASE], theirs[words.REQUEST], theirs[words.BEFORE],
            words.of_request(theirs, words.SETTLED), words.of_request(theirs, words.FINISHED),
            theirs[words.STARTED], theirs[words.SINCE], theirs[words.BEAT],
            theirs[words.DEADLINE], theirs[words.LIMIT], theirs[words.TRIES], theirs[words.DELAY],
            theirs[words.HELD], theirs[words.DONE], theirs[words.FAILED], theirs[words.RETRIED],
            theirs[words.LIMITED], theirs[words.PARKED],
            rss, cpu, growth - _ZERO if growth else None,
        )  # fmt: skip

    def used_rows(self) -> list[Row]:
        """The rows in use: a third of all, mostly."""
        used = [index for index, own in enumerate(self._master) if own[STATUS] != RowStatus.FREE]
        return [row for index in used if (row := self.read(index)).status != RowStatus.FREE]

    def running_job(self, index: int) -> tuple[str, str, str]:
        """Id, queue and name of what a worker has started last; empty texts when it is being
        written just now, or nothing has started."""
        return words.read_text(self._workers[index], self._words[index])

    def stack(self, index: int) -> str:
        """What its worker is at; "" if it does not say. Waits for it, up to a second."""
        number = self._words[index][words.STACK]
        return read_stack(self._master[index][PID], number) if number else ""

    def phase(self, index: int) -> int:
        return self._words[index][words.PHASE]

    def is_idle(self, index: int) -> bool:
        """A live worker that waits for its doorbell and may take a job."""
        if self._head[PAUSED]:
            return False
        return (
            self._master[index][STATUS] == RowStatus.LIVE and self.phase(index) == words.Phase.IDLE
        )


def _places(rows: int) -> tuple[int, int, int]:
    """Where the rows begin, where the pages do, and the size of all, in bytes."""
    base = (HEAD + 4 * rows) * 8
    base += -base % 64
    told = base + rows * ROW
    told += -told % mmap.PAGESIZE
    return base, told, told + pages.size(rows)


def rows_of(fd: int) -> int:
    """How many rows the memory has that another pool has made; 0: it is none, or is laid out in
    another way."""
    size, most = os.fstat(fd).st_size, HEAD * 8
    if size < most:
        return 0
    rows = int(memoryview(os.pread(fd, most, 0)).cast("Q")[ROWS])
    return rows if rows * ROW <= size and _places(rows)[2] == size else 0


def name_of(node: str) -> str:
    """The name by which the system shows the memory of this node."""
    return f"poolq-scoreboard-{node}"


def _create(name: str, size: int) -> int:
    """Sealed against shrinking: a reader must not fault because somebody truncates."""
    if sys.platform != "linux":
        raise RuntimeError("poolq's pool needs Linux: memfd, eventfd and subreapers")
    import fcntl

    fd = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, size)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)
    return fd
