"""The worker's part of its scoreboard row, written by the worker alone.

Words (8 bytes) are stored through a memoryview cast to "Q", so a reader never sees half of a word.
The text that names the running job has a sequence number that is odd while the text is written.
`layout.py` explains the words; `board.py` reads them, and writes the master's part.
"""

from bisect import bisect_left
from time import monotonic_ns

from poolq.scoreboard.histogram import BOUNDS, SUM, WAIT

from poolq.scoreboard.layout import (  # isort: skip
    ACCEPTED, ATTEMPT, BEAT, COUNT_BITS, DEADLINE, DECLARED, DEPLOY, DONE, EXPIRED, FINISHED,
    NEXT_CHECK, PAUSED, PHASE, REQUEST, RETRY_DELAY, RSS_AT_START, SEQUENCE,
    SETTLED, SINCE, STACK, STARTED, START_UNTIL, STOP_REQUESTED, TEXT, TEXT_BYTES, TIMEOUT,
    WAITER_BEAT, WORKER_WORDS, Phase,
)  # fmt: skip
from poolq.scoreboard.notes import Notes
from poolq.scoreboard.shared_text import WORD


class WorkerRow:
    """Writes the row and its `notes`. The worker reads its own words back; others read copies."""

    __slots__ = (
        "_buckets", "_bytes", "_cancelled", "_cells", "_first", "_head", "_last_guard", "_sums",
        "notes", "stop_requested", "words",
    )  # fmt: skip

    def __init__(
        self,
        memory: memoryview,
        head: memoryview,
        master: memoryview,
        notes: Notes,
        cancelled: memoryview,
    ) -> None:
        """`head`: the scoreboard's head; `master`: the master's part of this row; `cancelled`: the
        word that contains the claim whose job is cancelled."""
        self._bytes = memory[TEXT * WORD : WORKER_WORDS * WORD]
        self._head = head
        #: One word, which is not 0 once the master wants this worker to exit.
        self.stop_requested = master[STOP_REQUESTED : STOP_REQUESTED + 1]
        self.notes = notes
        self._cancelled = cancelled
        self._cells = notes.histogram.cells
        self._buckets = notes.histogram.words
        self._sums = notes.histogram.sums
        self.words = memory.cast("Q")
        self._last_guard = -1, -1, -1  # last TIMEOUT, ATTEMPT, RETRY_DELAY; equal for most jobs
        #: The value that FINISHED or SETTLED gets when the request's first claim ends.
        self._first = 1

    def is_paused(self) -> bool:
        return is_paused(self._head)

    def deploy(self, generation: int) -> int:
        """Return the number of this generation's deploy (see ACCEPTED), 0 if it has none yet. For a
        generation before the last accepted one, return a number lower than the last deploy's."""
        head = self._head
        while True:
            accepted, deploy = int(head[ACCEPTED]), int(head[DEPLOY])
            if accepted == int(head[ACCEPTED]):
                break
        return deploy if accepted == generation else deploy - 1 if accepted > generation else 0

    def set_deploy(self, generation: int, deploy: int) -> None:
        """Record the number of this generation's deploy, unless a later one has been accepted."""
        head = self._head
        if head[ACCEPTED] <= generation:
            head[ACCEPTED] = 0
            head[DEPLOY] = deploy
            head[ACCEPTED] = generation

    def declared_generation(self) -> int:
        """Return the last generation that has declared its schedules (see DECLARED)."""
        return int(self._head[DECLARED])

    def set_declared(self, generation: int) -> None:
        """Record that this generation has declared its schedules, unless a later one has."""
        self._head[DECLARED] = max(generation, int(self._head[DECLARED]))

    def waiter_seen_at(self) -> float:
        """Return when the keeper's waiter last polled the engine, in monotonic seconds."""
        return self._head[WAITER_BEAT] / 1e9

    def is_cancelled(self, index: int) -> bool:
        """Return whether the job of this claim of the current request is cancelled."""
        return bool(self._cancelled[0] == claim_word(self.words[REQUEST], index))

    def is_running_cancelled(self) -> bool:
        """Return whether the running job is cancelled."""
        started = self.words[STARTED]
        return started > 0 and self.is_cancelled(started - 1)

    def set_phase(self, phase: Phase) -> None:
        self.words[BEAT] = monotonic_ns()
        self.words[PHASE] = phase

    def beat(self) -> None:
        """Record that the worker is alive."""
        self.words[BEAT] = monotonic_ns()

    def set_stack_file(self, number: int) -> None:
        """Record the number of the worker's stack file (see `system/stack_dump.py`)."""
        self.words[STACK] = number

    def set_claims(self, request: int) -> None:
        """Record that the worker has new claims, none of which has started. All older claims are
        settled."""
        self._first = (request << COUNT_BITS) + 1
        words = self.words
        words[STARTED] = 0
        words[REQUEST] = request

    def set_rss_at_start(self, memory: int) -> None:
        """Record the worker's memory in bytes before the next job starts."""
        self.words[RSS_AT_START] = memory

    def start(self, index: int, text: bytes, now: int) -> None:
        """Record that a job starts. `text` comes from `text()`; `now` is in monotonic ns."""
        words = self.words
        words[SEQUENCE] += 1
        self._bytes[: len(text)] = text
        words[SEQUENCE] += 1
        words[SINCE] = now
        words[DEADLINE] = 0
        words[STARTED] = index + 1

    def set_deadline(self, timeout: int, attempt: int, retry_delay: int) -> bool:
        """Record that the master must kill this worker if user code runs longer than `timeout`
        microseconds. Return True if the master must be woken, since it would check too late."""
        words = self.words
        guard = timeout, attempt, retry_delay
        if guard != self._last_guard:
            words[TIMEOUT], words[ATTEMPT], words[RETRY_DELAY] = self._last_guard = guard
        deadline = monotonic_ns() + timeout * 1000
        words[DEADLINE] = deadline
        return deadline < self._head[NEXT_CHECK]

    def clear_deadline(self) -> None:
        """Record that user code has ended, so that the worker may wait without a deadline."""
        self.words[DEADLINE] = 0

    def set_finished(self, index: int) -> None:
        """Record by a single memory write that the job is done. This counts even if the worker dies
        right after it."""
        self.words[FINISHED] = self._first + index

    def set_settled(self, index: int) -> None:
        """Record that this job was settled with an outcome other than done. Without this, if the
        engine's store lost the outcome, the job would count as done once a later job is done."""
        self.words[SETTLED] = self._first + index

    def clear_started(self) -> None:
        """Record that no job is running, and that the last job is settled."""
        self.words[STARTED] = 0

    def set_progress(self, done: int, total: int, note: str) -> None:
        self.notes.set_progress(self.words[SINCE], done, total, note)

    def settled_jobs(self) -> int:
        """Return how many jobs this worker has finished, with any outcome."""
        return sum(self.words[DONE : EXPIRED + 1])

    def count(self, word: int, queue: str, job: str, seconds: float) -> None:
        """Count a job of this queue and name. `word`: its outcome, such as DONE."""
        self.words[word] += 1
        try:
            cell = self._cells[word, queue, job]
        except KeyError:
            cell = self.notes.histogram.open(word, queue, job)
        self._buckets[cell + bisect_left(BOUNDS, seconds)] += 1
        self._sums[cell + SUM] += seconds

    def count_wait(self, queue: str, job: str, seconds: float) -> None:
        """Count a job that starts now and that has been due for `seconds`."""
        cell = self._cells.get((WAIT, queue, job))
        if cell is None:
            cell = self.notes.histogram.open(WAIT, queue, job)
        self._buckets[cell + bisect_left(BOUNDS, seconds)] += 1
        self._sums[cell + SUM] += seconds

    def running_job(self) -> tuple[str, str, str]:
        """Return id, queue and name of the running job; empty strings if there is none."""
        return read_text(self.words.cast("B"), self.words)


def is_paused(head: memoryview) -> bool:
    """Return whether no new job may start: the pool is paused, or has sent no heartbeat for so long
    that other pools may soon take it for dead."""
    return head[PAUSED] != 0 or 0 < head[START_UNTIL] < monotonic_ns()


def of_request(words: memoryview, index: int) -> int:
    """Return FINISHED or SETTLED as a count of claims; 0 if the word belongs to another request."""
    word = words[index]
    return int(word % (1 << COUNT_BITS)) if word >> COUNT_BITS == words[REQUEST] else 0


def claim_word(request: int, index: int) -> int:
    """Return a claim as one word, which is not 0."""
    return (request << COUNT_BITS) + index + 1


def place_of(id: str | bytes) -> int:
    """Return a job's position by creation, which its id contains; 0 if the id contains none."""
    try:
        return max(0, int(id[:16], 16))  # no id of poolq's own begins with a minus
    except ValueError:
        return 0


def clear(words: memoryview) -> None:
    """Prepare the row for a new worker. The master calls this before it forks one."""
    for word in range(TEXT):
        words[word] = 0


def text(id: str, queue: str, job: str) -> bytes:
    """Return a job as the row's text: a line with NULs between its parts, cut to TEXT_BYTES."""
    line = f"{id}\0{queue}\0{job}\n".encode()
    return line if len(line) <= TEXT_BYTES else line[: TEXT_BYTES - 1] + b"\n"


def read_text(memory: memoryview, words: memoryview) -> tuple[str, str, str]:
    """Return the text as (id, queue, job); empty strings while it is being written."""
    before = words[SEQUENCE]
    raw = bytes(memory[TEXT * WORD : WORKER_WORDS * WORD])
    if before % 2 or words[SEQUENCE] != before or not words[STARTED]:
        return "", "", ""
    parts = raw.partition(b"\n")[0].decode("utf-8", "replace").split("\0")
    id, queue, job = (*parts, "", "", "")[:3]
    return id, queue, job
