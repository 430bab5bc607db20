"""Where everything is in the scoreboard's shared memory: each word, offset and size (pure).

    head    HEAD_WORDS words about the pool, its master and its keeper
    usage   USAGE_WORDS words for each row, written by the keeper
    rows    for each row the master's words, then the worker's, then the running job's name
    pages   the longer texts, see `Pages`

- A word has 8 bytes and one writer. It is stored in one operation, so a reader sees the old or the
  new value, never half of one. Times are monotonic nanoseconds.
- `board.py` and `worker_row.py` read and write the words, `notes.py` a row's notes,
  `shared_text.py` the pages. `histogram.py` defines the inside of a histogram.
- Memory that was never written takes no space.
"""

from enum import IntEnum
from mmap import PAGESIZE

from poolq.scoreboard.histogram import HISTOGRAM_BYTES
from poolq.scoreboard.shared_text import WORD, TextPage, TextRing

# Values of words.


class RowStatus(IntEnum):
    """The master's word STATUS."""

    FREE = 0
    LIVE = 1
    DEAD = 2


class KillReason(IntEnum):
    """The master's word REASON: why a worker is killed in the middle of a job. CANCELLED, RETURNED:
    a person has cancelled the job, or given it back."""

    NONE = 0
    TIMEOUT = 1
    MEMORY = 2
    CANCELLED = 3
    RETURNED = 4


class Phase(IntEnum):
    """The worker's word PHASE."""

    BOOT = 0
    IDLE = 1
    BUSY = 2
    LEAVING = 3


PHASE_NAMES = {phase: phase.name.lower() for phase in Phase}
#: The exit code of a worker whose end nobody observed.
EXIT_UNKNOWN = 1 << 32
#: The job that a worker runs, as its words REQUEST and STARTED; (0, 0) if it runs none.
RunningJob = tuple[int, int]
NO_JOB: RunningJob = (0, 0)

# The head. Written by the keeper (but LOGGER_BEAT by the logger). KEEPER_EMPTY: 1 once the keeper's
# waiter finds no job left to do.
HEAD_WORDS = 32
KEEPER_BEAT, KEEPER_READY, KEEPER_EMPTY, BROKER_UP, LOGGER_BEAT, BROKER_SEEN = range(6)
# Written by the master. NEXT_CHECK: when the master next checks the rows. PAUSED: 1 or 0.
NEXT_CHECK, PAUSED = 7, 8
WAITER_BEAT = 9  # written by the keeper: when its waiter last polled the engine
# Written by workers. ACCEPTED: the last generation that was accepted, 0 while it and DEPLOY change.
# DEPLOY: the number of its deploy. If two workers write at once, each of their numbers is right.
ACCEPTED, DEPLOY = 10, 12
# Also written by workers: the last generation that has declared its schedules of periodic jobs, or
# that it has none any more; 0 as long as no generation has had any.
DECLARED = 11
# USAGE_SAMPLED, written by the keeper: when the last round of resource samples began; no sample of
# a busy worker is older. MASTER_BEAT: when the master last checked the rows.
USAGE_SAMPLED, MASTER_BEAT = 17, 18
# Written by the keeper with each heartbeat: until when workers may start jobs (monotonic ns; 0:
# without an end). After that time, other pools may take the workers for dead.
START_UNTIL = 19
# For processes that find this memory when master and keeper are dead (`orphan_processes.py`).
MASTER_PID, MASTER_STARTED, KEEPER_PID, KEEPER_STARTED, ROWS = range(24, 29)

# The keeper's words of a row: the seq of the worker whose claims it has recovered, resident memory
# in bytes, thousandths of a core, growth of memory in bytes per minute (0: not known yet); the
# claim whose job is cancelled (0: none; see `worker_row.claim_word`), and when its worker is to be
# killed.
USAGE_WORDS = 6
CANCELLED_CLAIM, CANCEL_DUE = 4, 5
ZERO_GROWTH = 1 << 62  # represents a growth of 0, since words have no sign

# The master's words of a row. CHARGED: 0 if the worker's death must not count as a crash of the
# running job. REASON: why the worker is killed, and KILLED_CLAIM: because of which claim
# (`worker_row.claim_word`). STOP_REQUESTED: 1 if the worker must finish its job and exit.
MASTER_WORDS = 16
STATUS, PID, SEQ, SLOT, GENERATION, SIGNAL, EXIT, CHARGED, REASON, KILLED_CLAIM = range(10)
STOP_REQUESTED = 10

# The worker's words of a row. REQUEST is the number of the step that claimed the running batch. Of
# that batch, the claims with an index below SETTLED are settled, the last of them with an outcome
# other than done. The claims from SETTLED on and below FINISHED are done. The upper bits of
# FINISHED and SETTLED contain the number of the request that they describe, so storing REQUEST
# alone switches to the next request (see `worker_row.of_request()`). STARTED is 1 + the index of
# the claim that started last, 0 if none is running. DEADLINE is when the running user code is
# killed, 0 for never. TIMEOUT (µs), ATTEMPT (0: a hook runs) and RETRY_DELAY (µs) are valid only if
# DEADLINE is set.
WORKER_WORDS = 40
PHASE, REQUEST, FINISHED, STARTED, SINCE, BEAT, SEQUENCE, DEADLINE = range(8)
DONE, FAILED, RETRIED, LIMITED, PARKED, DISCARDED, SNOOZED, EXPIRED = range(8, 16)
#: The public names of the outcomes that a worker counts.
OUTCOMES = {
    DONE: "done", FAILED: "failed", RETRIED: "retried", LIMITED: "limited", PARKED: "parked",
    DISCARDED: "discarded", SNOOZED: "snoozed", EXPIRED: "expired",
}  # fmt: skip
TIMEOUT, ATTEMPT, RETRY_DELAY = range(16, 19)
STACK = 19  # the number of the file for `system/stack_dump.py`, 0 if there is none
RSS_AT_START = 20  # bytes of memory when the job began, if memory is limited
SETTLED = 22
# Read by the other workers (`start_order.py`): the place (position by creation) of a job that has
# not asked for its starts yet. UNKNOWN_PLACE while the worker is about to receive a job.
UNASKED = 23
UNKNOWN_PLACE = 1  # comes before all other places
COUNT_BITS = 20  # lower bits of FINISHED and SETTLED; no request has 2**20 claims
TEXT = 24  # the first word of the text: id, queue and name of the job
TEXT_BYTES = (WORKER_WORDS - TEXT) * WORD

ROW_BYTES = (MASTER_WORDS + WORKER_WORDS) * WORD

# The notes of a row contain what its workers have counted and noted. They outlive the workers.
HELD_BYTES, PROGRESS_BYTES, FAILURES_BYTES = 8192, 1024, 16_392
NOTES_BYTES = 22 * 4096
FAILURE_SLOTS = 8

# The pages.
MASTER_PAGE_BYTES, MASTER_PAGE_ROW_BYTES = 1 << 15, 512  # once, and for each row
KEEPER_PAGE_BYTES = 1 << 19
SAMPLES_PAGE_BYTES = 1 << 14
EVENT_SLOTS = 64
EVENTS_BYTES = WORD + EVENT_SLOTS * 1536
WARNED_BYTES = 1 << 16  # one byte is set for each warning that a worker has logged
LOG_LINES_BYTES = 1 << 22  # see `recent_lines.py`
_ALIGNMENT = 4096


def rows_at(rows: int) -> int:
    """Return the byte at which the rows begin."""
    return _aligned((HEAD_WORDS + USAGE_WORDS * rows) * WORD, 64)


def pages_at(rows: int) -> int:
    """Return the byte at which the pages begin."""
    return _aligned(rows_at(rows) + rows * ROW_BYTES, PAGESIZE)


def size(rows: int) -> int:
    """Return the size of the whole memory in bytes."""
    return pages_at(rows) + _page_offsets(rows)[-1]


def _aligned(offset: int, alignment: int) -> int:
    return offset + -offset % alignment


def _page_offsets(rows: int) -> list[int]:
    """Return where the parts of the pages begin, and their end."""
    master = MASTER_PAGE_BYTES + rows * MASTER_PAGE_ROW_BYTES
    parts = [master, EVENTS_BYTES, KEEPER_PAGE_BYTES, EVENTS_BYTES, SAMPLES_PAGE_BYTES]
    offsets = [0]
    parts += [WARNED_BYTES, LOG_LINES_BYTES, rows * NOTES_BYTES]
    for part in parts:
        offsets.append(_aligned(offsets[-1] + part, _ALIGNMENT))
    return offsets


class Pages:
    """Data that master, keeper and workers publish and that is too long for a word. `monitor/`
    reads it; no decision depends on it. `memory` begins at `pages_at(rows)`."""

    def __init__(self, memory: memoryview, rows: int) -> None:
        offsets = _page_offsets(rows)
        self.master = TextPage(memory[offsets[0] : offsets[1]])
        self.master_events = TextRing(memory[offsets[1] : offsets[1] + EVENTS_BYTES], EVENT_SLOTS)
        self.keeper = TextPage(memory[offsets[2] : offsets[3]])
        self.keeper_events = TextRing(memory[offsets[3] : offsets[3] + EVENTS_BYTES], EVENT_SLOTS)
        self.samples = TextPage(memory[offsets[4] : offsets[5]])
        self.warned = memory[offsets[5] : offsets[5] + WARNED_BYTES]
        self.log_lines = memory[offsets[6] : offsets[6] + LOG_LINES_BYTES]
        self._notes = memory[offsets[7] :]
        self._known: dict[int, NotesLayout] = {}

    def notes(self, index: int) -> "NotesLayout":
        """Return the notes of this row."""
        if index not in self._known:
            place = self._notes[index * NOTES_BYTES : (index + 1) * NOTES_BYTES]
            self._known[index] = NotesLayout(place)
        return self._known[index]

    def kinds_counted(self) -> memoryview:
        """Return, for each row, how many kinds of jobs its histogram contains."""
        return self._notes.cast("Q")[:: NOTES_BYTES // WORD]


class NotesLayout:
    def __init__(self, memory: memoryview) -> None:
        ends = [HISTOGRAM_BYTES]
        for part in (HELD_BYTES, PROGRESS_BYTES, FAILURES_BYTES):
            ends.append(ends[-1] + part)
        self.histogram = memory[: ends[0]]
        self.held = TextPage(memory[ends[0] : ends[1]])
        self.progress = TextPage(memory[ends[1] : ends[2]])
        self.recent = TextRing(memory[ends[2] : ends[3]], FAILURE_SLOTS)
