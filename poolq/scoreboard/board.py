"""The scoreboard: shared memory with a row for each worker. Each word (8 bytes) has one writer.

- A row belongs to one worker process. The process that replaces it gets another row, because a dead
  worker's row stays until the keeper has confirmed that the worker's claims are recovered. So a new
  keeper finds all it needs here; the messages between processes are only wake-ups.
- The master writes one part of a row, and the worker the other (`worker_row.py`). The keeper writes
  words before the rows. `layout.py` defines where everything is.
"""

import mmap
import os
import sys
from typing import Any

import msgspec

from poolq.scoreboard import layout

from poolq.scoreboard.layout import (  # isort: skip
    CHARGED, EXIT, GENERATION, HEAD_WORDS, KILLED_CLAIM, MASTER_WORDS, PID, REASON, ROW_BYTES, SEQ,
    SIGNAL, SLOT, STATUS, STOP_REQUESTED, USAGE_WORDS, KillReason, Pages, Phase, RowStatus,
)  # fmt: skip
from poolq.scoreboard.notes import Notes, read_progress
from poolq.scoreboard.recent_events import RecentEvents
from poolq.scoreboard.shared_text import WORD
from poolq.scoreboard.start_order import StartOrder
from poolq.scoreboard.worker_row import (
    WorkerRow,
    claim_word,
    clear,
    is_paused,
    of_request,
    read_text,
)
from poolq.system.stack_dump import read_stack


class Row(msgspec.Struct, frozen=True, gc=False):
    """A copy of a row's words, taken at one moment. `layout.py` explains them. Fields that
    `Scoreboard.read` copies as one slice are in the order of their words. `outcomes`: how many jobs
    have ended with each of layout.OUTCOMES."""

    index: int
    status: int
    pid: int
    seq: int
    slot: int
    generation: int
    signal: int
    exit_code: int
    charged: int
    kill_reason: int
    killed_claim: int
    phase: int
    request: int
    settled_below: int
    finished: int
    started: int
    since: int
    beat: int
    deadline: int
    outcomes: tuple[int, ...]
    timeout: int
    attempt: int
    retry_delay: int
    rss_at_start: int
    rss: int
    cpu: int
    rss_growth: int | None
    cancelled_claim: int
    cancel_due: int

    @property
    def in_job(self) -> bool:
        """True if a job was in `run()`, or was failing and not settled yet."""
        return self.phase == Phase.BUSY and self.started > self.ended

    @property
    def ended(self) -> int:
        """The number of claims of the current request that had ended."""
        return max(self.finished, self.settled_below)

    @property
    def has_deadline(self) -> bool:
        """True if user code (`run()` or a hook) was running and had a deadline."""
        return self.phase == Phase.BUSY and self.deadline > 0

    @property
    def claim(self) -> int:
        """The claim that started last, as one word (`claim_word`)."""
        return claim_word(self.request, self.started - 1)

    @property
    def is_job_cancelled(self) -> bool:
        """True if the running job is cancelled. Its worker is to be killed at `cancel_due`."""
        return self.in_job and self.cancelled_claim == self.claim

    @property
    def by_outcome(self) -> dict[str, int]:
        return dict(zip(layout.OUTCOMES.values(), self.outcomes, strict=True))

    @property
    def settled_jobs(self) -> int:
        """How many jobs have ended in this row, with any outcome."""
        return sum(self.outcomes)


class Scoreboard:
    """Created by the master (if `fd` is None), inherited by its children, or opened from `fd`."""

    def __init__(
        self, rows: int, fd: int | None = None, *, readonly: bool = False, node: str = ""
    ) -> None:
        """`node`: the pool's node, which becomes part of the memory's name."""
        size, base = layout.size(rows), layout.rows_at(rows)
        self.rows = rows
        self.fd = _create(name_of(node), size) if fd is None else fd
        access = mmap.PROT_READ if readonly else mmap.PROT_READ | mmap.PROT_WRITE
        memory = memoryview(mmap.mmap(self.fd, size, prot=access))
        self._head = memory[: (HEAD_WORDS + USAGE_WORDS * rows) * WORD].cast("Q")
        self.pages = Pages(memory[layout.pages_at(rows) :], rows)
        parts = [
            memory[base + index * ROW_BYTES : base + (index + 1) * ROW_BYTES]
            for index in range(rows)
        ]
        self._master = [part[: MASTER_WORDS * WORD].cast("Q") for part in parts]
        self._workers = [part[MASTER_WORDS * WORD :] for part in parts]
        self._words = [part.cast("Q") for part in self._workers]

    # the master

    def set_master(self, pid: int, started: int) -> None:
        """Record the pool's master, for processes that find this memory after the pool has died."""
        self._head[layout.MASTER_PID], self._head[layout.MASTER_STARTED] = pid, started
        self._head[layout.ROWS] = self.rows

    def allocate(self, seq: int, slot: int, generation: int) -> int | None:
        """Return a row for a new worker that is not forked yet; None if no row is free."""
        for index, words in enumerate(self._master):
            if words[STATUS] == RowStatus.FREE:
                clear(self._words[index])
                self.set_usage(index, 0, 0, None)
                self.set_cancelled(index, 0, 0)
                words[PID] = words[SIGNAL] = words[EXIT] = words[STOP_REQUESTED] = 0
                words[REASON] = words[KILLED_CLAIM] = 0
                words[CHARGED] = 1
                words[SEQ], words[SLOT], words[GENERATION] = seq, slot, generation
                words[STATUS] = RowStatus.LIVE
                return index
        return None

    def set_pid(self, index: int, pid: int) -> None:
        """Write the worker's pid. The worker begins when it reads its own pid here."""
        self._master[index][PID] = pid

    def request_stop(self, index: int) -> None:
        """Ask the worker to finish its job and exit. It checks this before each claim and start."""
        self._master[index][STOP_REQUESTED] = 1

    def suppress_crash(self, index: int) -> None:
        """Do not count the worker's death as a crash of its job: the job did not cause it."""
        self._master[index][CHARGED] = 0

    def set_kill_reason(self, row: Row, reason: KillReason) -> None:
        """Record why the worker is killed in the middle of the job in `row`. If the worker runs
        another job when it dies, the reason does not apply to that job (see `deaths.py`)."""
        self._master[row.index][KILLED_CLAIM] = row.claim
        self._master[row.index][REASON] = reason

    def set_dead(self, index: int, signal: int, exit_code: int) -> None:
        """Record how the worker ended; `exit_code` is EXIT_UNKNOWN if nobody observed the end."""
        words = self._master[index]
        words[SIGNAL], words[EXIT] = signal, exit_code
        words[STATUS] = RowStatus.DEAD

    def announce_check(self, due: int, since: int) -> int:
        """Announce the time of the master's next check of the rows, and return it (monotonic ns):
        the first deadline after `since`, or `due` if there is none before it. `since` is the time
        of the last check. A worker sets its deadline and then reads the announced time. So either
        the worker sees the new time or the master sees the new deadline."""
        self._head[layout.NEXT_CHECK] = due
        for master, worker in zip(self._master, self._words, strict=True):
            if master[STATUS] == RowStatus.LIVE and since < worker[layout.DEADLINE] < due:
                due = worker[layout.DEADLINE]
        self._head[layout.NEXT_CHECK] = due
        return due

    def release(self, index: int) -> None:
        """Free a row whose worker was never forked."""
        self._master[index][STATUS] = RowStatus.FREE

    def free_recovered(self) -> None:
        """Free the rows of dead workers whose recovery the keeper has confirmed."""
        for index, words in enumerate(self._master):
            if words[STATUS] == RowStatus.DEAD and self._head[HEAD_WORDS + index] == words[SEQ]:
                words[STATUS] = RowStatus.FREE

    def unrecovered(self) -> int:
        """Return the number of dead workers that still have a row."""
        return sum(words[STATUS] == RowStatus.DEAD for words in self._master)

    # the worker

    def worker_row(self, index: int) -> WorkerRow:
        notes = Notes(self.pages.notes(index), self.pages.warned)
        place = HEAD_WORDS + layout.CANCELLED_CLAIM * self.rows + index
        cancelled = self._head[place : place + 1]
        return WorkerRow(self._workers[index], self._head, self._master[index], notes, cancelled)

    def start_order(self, index: int) -> StartOrder:
        """Return the StartOrder of this row's worker, for its rate-limited jobs."""
        rows = list(zip(self._master, self._words, strict=True))
        return StartOrder(rows.pop(index)[1], rows)

    def pid(self, index: int) -> int:
        return self._master[index][PID]

    def recent_events(self, writer: str, index: int | None = None) -> RecentEvents:
        """Return the writer of events for the master, the keeper or the worker of row `index`."""
        if index is not None:
            return RecentEvents(self.pages.notes(index).recent)
        pages = self.pages
        return RecentEvents(pages.master_events if writer == "master" else pages.keeper_events)

    # the keeper

    def confirm_recovery(self, row: Row) -> None:
        """Record that the claims of this dead worker are recovered."""
        self._head[HEAD_WORDS + row.index] = row.seq

    def is_recovered(self, row: Row) -> bool:
        return self._head[HEAD_WORDS + row.index] == row.seq

    def dead_rows(self) -> list[Row]:
        """Return the rows of dead workers whose claims are not recovered yet."""
        dead = (
            index for index, words in enumerate(self._master) if words[STATUS] == RowStatus.DEAD
        )
        return [row for row in map(self.read, dead) if not self.is_recovered(row)]

    def set_usage(self, index: int, rss: int, cpu: int, growth: int | None) -> None:
        """Record a worker's resident memory in bytes, its share of a core in thousandths, and by
        how many bytes a minute its memory grows (None if not known yet)."""
        place = HEAD_WORDS + self.rows + index
        self._head[place] = rss
        self._head[place + self.rows] = cpu
        self._head[place + 2 * self.rows] = 0 if growth is None else growth + layout.ZERO_GROWTH

    def set_cancelled(self, index: int, claim: int, due: int) -> None:
        """Record that the job of this claim (`claim_word`; 0 for none) is cancelled. `due`: when
        its worker is to be killed if it still runs the job (monotonic ns)."""
        place = HEAD_WORDS + index
        if self._head[place + layout.CANCELLED_CLAIM * self.rows] != claim:
            self._head[place + layout.CANCELLED_CLAIM * self.rows] = 0
        self._head[place + layout.CANCEL_DUE * self.rows] = due
        self._head[place + layout.CANCELLED_CLAIM * self.rows] = claim

    def set_word(self, word: int, value: int) -> None:
        """Write a word of the head. Each has one writer."""
        self._head[word] = value

    def word(self, word: int) -> int:
        """Read a word of the head."""
        return self._head[word]

    # any process

    def open_readonly(self) -> int:
        """Return a descriptor through which the memory can only be read."""
        return os.open(f"/proc/self/fd/{self.fd}", os.O_RDONLY | os.O_CLOEXEC)

    def close(self) -> None:
        """Close the descriptor, in a process that has opened the memory to read it."""
        os.close(self.fd)

    def read(self, index: int) -> Row:
        master, worker = self._master[index], self._words[index]
        usage = self._head[HEAD_WORDS + self.rows + index :: self.rows]
        rss, cpu, growth, cancelled_claim, cancel_due = usage.tolist()
        request, started = worker[layout.REQUEST], worker[layout.STARTED]
        words: list[Any] = [
            index,
            *master[STATUS : KILLED_CLAIM + 1].tolist(),
            worker[layout.PHASE],
            request,
            of_request(worker, layout.SETTLED),
            of_request(worker, layout.FINISHED),
            started if worker[layout.REQUEST] == request else 0,  # it may be of a newer request
            worker[layout.SINCE],
            worker[layout.BEAT],
            worker[layout.DEADLINE],
            tuple(worker[layout.DONE : layout.EXPIRED + 1]),
            *worker[layout.TIMEOUT : layout.RETRY_DELAY + 1].tolist(),
            worker[layout.RSS_AT_START],
            rss,
            cpu,
            growth - layout.ZERO_GROWTH if growth else None,
            cancelled_claim if usage[3] == cancelled_claim else 0,  # 0 while it is replaced
            cancel_due,
        ]
        return Row(*words)

    def used_rows(self) -> list[Row]:
        """Return copies of the rows that are not free, usually a third of all."""
        used = [
            index for index, words in enumerate(self._master) if words[STATUS] != RowStatus.FREE
        ]
        return [row for index in used if (row := self.read(index)).status != RowStatus.FREE]

    def running_job(self, index: int) -> tuple[str, str, str]:
        """Return id, queue and name of the job that the worker started last. The strings are empty
        if no job has started, or if the strings are just being written."""
        return read_text(self._workers[index], self._words[index])

    def progress(self, row: Row) -> tuple[int, int, str] | None:
        """Return what the running job of this row reports: done, total and note. None if it has
        reported nothing, even if the page still contains an earlier job's report."""
        page = self.pages.notes(row.index).progress
        report = read_progress(page) if page.version else None
        return report[1:] if report is not None and report[0] == row.since else None

    def stack(self, index: int) -> str:
        """Return the worker's stack; "" if the worker does not answer within a second."""
        number = self._words[index][layout.STACK]
        return read_stack(self._master[index][PID], number) if number else ""

    def phase(self, index: int) -> int:
        return self._words[index][layout.PHASE]

    def is_paused(self) -> bool:
        return is_paused(self._head)

    def is_idle(self, index: int) -> bool:
        """Return whether this is a live worker that waits for its doorbell and may take a job."""
        if self.is_paused():
            return False
        return self._master[index][STATUS] == RowStatus.LIVE and self.phase(index) == Phase.IDLE


def rows_of(fd: int) -> int:
    """Return the number of rows in another pool's memory; 0 if the memory has another layout, or
    could be truncated while it is read."""
    size, head = os.fstat(fd).st_size, HEAD_WORDS * WORD
    if size < head or not _is_sealed(fd):
        return 0
    rows = int(memoryview(os.pread(fd, head, 0)).cast("Q")[layout.ROWS])
    return rows if rows * ROW_BYTES <= size and layout.size(rows) == size else 0


def _is_sealed(fd: int) -> bool:
    import fcntl

    try:
        return bool(fcntl.fcntl(fd, fcntl.F_GET_SEALS) & fcntl.F_SEAL_SHRINK)
    except OSError:  # it is an ordinary file
        return False


def name_of(node: str) -> str:
    """Return the name under which the system shows the memory of this node."""
    return f"poolq-scoreboard-{node}"


def _create(name: str, size: int) -> int:
    """Create the memory, sealed against truncation, which would make its readers crash."""
    if sys.platform != "linux":
        raise RuntimeError("poolq's pool needs Linux: memfd, eventfd and subreapers")
    import fcntl

    fd = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, size)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)
    return fd
