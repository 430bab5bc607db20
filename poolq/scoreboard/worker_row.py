"""The worker's part of its scoreboard row, written by the worker alone.

Single words are stored through a memoryview cast to "Q", so that a reader never sees half of one.
The text (what runs) has a sequence number: odd while it is written. `layout.py` explains the words;
reading them, and the master's part, is `board.py`'s business.
"""

from bisect import bisect_left
from time import monotonic_ns

from poolq.scoreboard.histogram import BOUNDS, SUM
from poolq.scoreboard.layout import (
    ASKING,
    ATTEMPT,
    BEAT,
    CLAIMING,
    CLAIMS,
    COUNT_BITS,
    DEADLINE,
    DONE,
    FINISHED,
    FIRST,
    MOVED,
    NEXT_CHECK,
    PARKED,
    PAUSED,
    PHASE,
    PREVIOUS_REQUEST,
    REQUEST,
    RETRY_DELAY,
    RETURNED,
    RETURNED_AT,
    REVIEWED,
    RSS_AT_START,
    SEQUENCE,
    SETTLED,
    SINCE,
    STACK,
    STARTED,
    STOP_REQUESTED,
    TEXT,
    TEXT_BYTES,
    TIMEOUT,
    UNLIMITED,
    WAITER_BEAT,
    WORKER_WORDS,
    Phase,
)
from poolq.scoreboard.notes import Notes
from poolq.scoreboard.shared_text import WORD


class WorkerRow:
    """Writes the row, and its `notes`. The worker reads its own words back, others read copies."""

    __slots__ = (
        "_buckets", "_bytes", "_cells", "_first", "_head", "_last_guard", "_sums", "notes",
        "stop_requested", "words",
    )  # fmt: skip

    def __init__(
        self, memory: memoryview, head: memoryview, master: memoryview, notes: Notes
    ) -> None:
        """`head`: the scoreboard's; `master`: the master's part of this row."""
        self._bytes = memory[TEXT * WORD : WORKER_WORDS * WORD]
        self._head = head
        #: One word: not 0 once the master wants this worker to leave.
        self.stop_requested = master[STOP_REQUESTED : STOP_REQUESTED + 1]
        self.notes = notes
        self._cells = notes.histogram.cells
        self._buckets = notes.histogram.words
        self._sums = notes.histogram.sums
        self.words = memory.cast("Q")
        self._last_guard = -1, -1, -1  # TIMEOUT, ATTEMPT, RETRY_DELAY: the same for most jobs
        self._first = 1  # FINISHED when the first claim is done, SETTLED when it was released

    def is_paused(self) -> bool:
        """True if the pool takes nothing new."""
        return self._head[PAUSED] != 0

    def has_reviewed(self, generation: int) -> bool:
        """True if this generation or a later one has asked parked jobs for their limits again."""
        return int(self._head[REVIEWED]) >= generation

    def set_reviewed(self, generation: int) -> None:
        """This generation has done so now."""
        self._head[REVIEWED] = generation

    def waiter_seen_at(self) -> float:
        """When the keeper last looked for jobs, in seconds of the monotonic clock."""
        return self._head[WAITER_BEAT] / 1e9

    def set_phase(self, phase: Phase) -> None:
        self.words[BEAT] = monotonic_ns()
        self.words[PHASE] = phase

    def beat(self) -> None:
        """The worker lives, though nothing changes."""
        self.words[BEAT] = monotonic_ns()

    def set_stack_file(self, number: int) -> None:
        """The number of the file for its stack: see `system/stack_dump.py`."""
        self.words[STACK] = number

    def begin_claim(self, now: int) -> None:
        """The engine is being asked for jobs; `now` in monotonic ns."""
        words = self.words
        words[MOVED] = now
        words[CLAIMING] = 1

    def claimed_nothing(self) -> None:
        """The engine has no job."""
        words = self.words
        words[CLAIMS] = 0
        words[CLAIMING] = 0

    def set_claims(self, request: int, before: int = 0, first: str = "", many: int = 0) -> None:
        """The worker has `many` new claims, none started; `first` is the id of the first. Claims of
        the request `before` are done, all older ones are settled."""
        self._first = (request << COUNT_BITS) + 1
        words = self.words
        words[STARTED] = 0
        words[PREVIOUS_REQUEST] = before
        words[REQUEST] = request
        words[ASKING] = 0
        words[FIRST] = place_of(first)
        words[CLAIMS] = many
        words[MOVED] = monotonic_ns()
        words[CLAIMING] = 0

    def claimed_at(self) -> int:
        """When `set_claims` was last called, in monotonic nanoseconds."""
        return self.words[MOVED]

    def set_returned(self, first: str, many: int) -> None:
        """The engine has taken back `many` claims that were not started, `first` the first id."""
        words = self.words
        words[RETURNED] = place_of(first)
        words[RETURNED_AT] = monotonic_ns()
        words[CLAIMS] = max(0, words[CLAIMS] - many)

    def set_asking(self, asking: bool) -> None:  # a word's value
        """Whether the job that starts still waits for its rate limits."""
        self.words[ASKING] = asking

    def set_unlimited(self, unlimited: bool) -> None:  # a word's value
        """Whether its last jobs had no rate limit, so its next ones probably have none either."""
        self.words[UNLIMITED] = unlimited

    def set_rss_at_start(self, memory: int) -> None:
        """The worker's memory in bytes before the next job starts."""
        self.words[RSS_AT_START] = memory

    def start(self, index: int, text: bytes, now: int) -> None:
        """A job starts. `text`: from `text()`; `now` in monotonic ns."""
        words = self.words
        words[SEQUENCE] += 1
        self._bytes[: len(text)] = text
        words[SEQUENCE] += 1
        words[SINCE] = now
        words[DEADLINE] = 0
        words[STARTED] = index + 1

    def set_deadline(self, timeout: int, attempt: int, retry_delay: int) -> bool:
        """User code begins, and the master ends it after `timeout` microseconds. True if the master
        does not look in time by itself and must be woken up."""
        words = self.words
        guard = timeout, attempt, retry_delay
        if guard != self._last_guard:
            words[TIMEOUT], words[ATTEMPT], words[RETRY_DELAY] = self._last_guard = guard
        deadline = monotonic_ns() + timeout * 1000
        words[DEADLINE] = deadline
        return deadline < self._head[NEXT_CHECK]

    def clear_deadline(self) -> None:
        """User code has ended. What follows may wait for the engine, without a deadline."""
        self.words[DEADLINE] = 0

    def set_finished(self, index: int) -> None:
        """The job ran to its end: if the worker dies now, it is done. One store."""
        self.words[FINISHED] = self._first + index

    def set_settled(self, index: int) -> None:
        """The engine has accepted that this job ended otherwise than as done. If the store loses
        that, the job must not pass for done because a later one is."""
        self.words[SETTLED] = self._first + index

    def clear_started(self) -> None:
        """Nothing is running, and what ran is settled."""
        self.words[STARTED] = 0

    def set_progress(self, done: int, total: int, note: str) -> None:
        """The progress of the job that runs."""
        self.notes.set_progress(self.words[SINCE], done, total, note)

    def settled_jobs(self) -> int:
        """How many jobs this worker has finished, in whatever way."""
        return sum(self.words[DONE : PARKED + 1])

    def count(self, word: int, queue: str, job: str, seconds: float) -> None:
        """Count a job of this queue and name; `word`: its outcome, such as DONE."""
        self.words[word] += 1
        try:
            cell = self._cells[word, queue, job]
        except KeyError:
            cell = self.notes.histogram.open(word, queue, job)
        self._buckets[cell + bisect_left(BOUNDS, seconds)] += 1
        self._sums[cell + SUM] += seconds

    def running_job(self) -> tuple[str, str, str]:
        """Id, queue and name of the job that runs, empty strings if none does."""
        return read_text(self.words.cast("B"), self.words)


def of_request(words: memoryview, which: int) -> int:
    """FINISHED or SETTLED as a count of REQUEST: 0 if the word belongs to another request."""
    word = words[which]
    return int(word % (1 << COUNT_BITS)) if word >> COUNT_BITS == words[REQUEST] else 0


def place_of(id: str | bytes) -> int:
    """A job's place among those created at about the same time, from its id; 0 if it has none."""
    try:
        return max(0, int(id[:16], 16))  # no id of poolq's own begins with a minus
    except ValueError:
        return 0


def clear(words: memoryview) -> None:
    """Prepare the row for a new worker; the master calls this before it forks one."""
    for word in range(TEXT):
        words[word] = 0


def text(id: str, queue: str, job: str) -> bytes:
    """A job as the row's text has it: a line with NULs between its parts, cut to TEXT_BYTES."""
    line = f"{id}\0{queue}\0{job}\n".encode()
    return line if len(line) <= TEXT_BYTES else line[: TEXT_BYTES - 1] + b"\n"


def read_text(memory: memoryview, words: memoryview) -> tuple[str, str, str]:
    """The text as (id, queue, job); empty strings while it is being written."""
    before = words[SEQUENCE]
    raw = bytes(memory[TEXT * WORD : WORKER_WORDS * WORD])
    if before % 2 or words[SEQUENCE] != before or not words[STARTED]:
        return "", "", ""
    parts = raw.partition(b"\n")[0].decode("utf-8", "replace").split("\0")
    id, queue, job = (*parts, "", "", "")[:3]
    return id, queue, job
