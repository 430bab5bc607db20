"""The worker's part of its scoreboard row: 48 words of 8 bytes, written by it alone.

Single words are stored through a memoryview cast to "Q", so that a reader never sees half of one.
The text (what runs) has a sequence number: odd while it is written. The master's part, and who
reads this, is `board.py`'s business.
"""

from bisect import bisect_left
from enum import IntEnum
from time import monotonic_ns

from poolq.scoreboard.histogram import BOUNDS, SUM
from poolq.scoreboard.notes import Notes

WORDS = 48
TEXT = 32  # the text's first word
TEXT_BYTES = (WORDS - TEXT) * 8


class Phase(IntEnum):
    """Where a worker is in its life."""

    BOOT = 0
    IDLE = 1
    BUSY = 2
    LEAVING = 3


# Words. Claims of REQUEST from SETTLED on and below FINISHED are done, and so are those of the
# request BEFORE, 0: it is settled. Those below SETTLED are settled, the last of them otherwise than
# as done. FINISHED and SETTLED begin with the request that they are of, so that one store, that of
# REQUEST, turns to the next: `of_request()` reads them. STARTED is 1 + the index of the one that
# was started last, 0 when none is running. Times are monotonic nanoseconds. DEADLINE: of the user
# code that runs, 0 when it may take as long as it likes; LIMIT (microseconds), TRIES (the attempt,
# 0: it is a hook) and DELAY (before the next one, microseconds) mean something only beside it.
PHASE, REQUEST, FINISHED, STARTED, SINCE, BEAT, SEQUENCE, DEADLINE = range(8)
DONE, FAILED, RETRIED, LIMITED, PARKED = range(8, 13)
LIMIT, TRIES, DELAY = range(13, 16)
STACK = 16  # the number of its file for `system/stack_dump.py`, 0: it cannot be asked
HELD = 17  # bytes of memory when the job began, where that is limited
BEFORE, SETTLED = 18, 19
# For the other workers, see `start_order.py`. CLAIMING: the engine is asked for jobs now; CLAIMS:
# how many REQUEST has given; FIRST: the place of the first of them; ASKING: the job that was
# started last has not been let through by its rate limits yet; MOVED: when these have changed last.
# RETURNED: the place of the first of those that went back unstarted last, at RETURNED_AT.
# UNLIMITED: the last jobs that it has started had no rate limit.
CLAIMING, CLAIMS, FIRST, ASKING, MOVED, RETURNED, RETURNED_AT, UNLIMITED = range(20, 28)
COUNT_BITS = 20  # of FINISHED and SETTLED: more claims than one request can have

#: In the scoreboard's head, written by the master: when it looks next; this pool takes nothing new.
NEXT_LOOK, PAUSED = 7, 8
#: There too, written by the keeper: when its waiter last looked for this pool's idle workers.
WATCHED = 9
#: There too, written by the first worker that has done it: the last generation that has asked
#: parked jobs anew for their limits. Two may do it at once, and write the same.
REVIEWED = 10
#: In the master's part of the row: this worker shall leave.
STOP_REQUESTED = 9


class WorkerRow:
    """Writes the row, and the `notes` that belong to it. Reading one's own words back is cheap;
    others read copies."""

    __slots__ = (
        "_buckets",
        "_bytes",
        "_cells",
        "_first",
        "_head",
        "_last_guard",
        "_sums",
        "notes",
        "stop_requested",
        "words",
    )  # fmt: skip

    def __init__(
        self, memory: memoryview, head: memoryview, master: memoryview, notes: Notes
    ) -> None:
        """`head`: the scoreboard's; `master`: the master's part of this row."""
        self._bytes = memory[TEXT * 8 : WORDS * 8]
        self._head = head
        #: One word: not 0 from when the master wants this worker to leave.
        self.stop_requested = master[STOP_REQUESTED : STOP_REQUESTED + 1]
        self.notes = notes
        self._cells = notes.histogram.cells
        self._buckets = notes.histogram.words
        self._sums = notes.histogram.sums
        self.words = memory.cast("Q")
        self._last_guard = -1, -1, -1  # LIMIT, TRIES and DELAY, the same for most jobs
        self._first = 1  # FINISHED when the first claim is done, SETTLED when it was released

    def is_paused(self) -> bool:
        """The master wants nothing new to be taken."""
        return self._head[PAUSED] != 0

    def has_reviewed(self, generation: int) -> bool:
        """This generation, or a later one, has asked parked jobs anew for their limits."""
        return int(self._head[REVIEWED]) >= generation

    def set_reviewed(self, generation: int) -> None:
        """It has done so now."""
        self._head[REVIEWED] = generation

    def waiter_seen_at(self) -> float:
        """When the keeper last looked for jobs, in seconds of the monotonic clock."""
        return self._head[WATCHED] / 1e9

    def set_phase(self, phase: Phase) -> None:
        self.words[BEAT] = monotonic_ns()
        self.words[PHASE] = phase

    def beat(self) -> None:
        """Still there, though nothing changes."""
        self.words[BEAT] = monotonic_ns()

    def set_stack_file(self, number: int) -> None:
        """Its stack can be asked for: see `system/stack_dump.py`."""
        self.words[STACK] = number

    def begin_claim(self, now: int) -> None:
        """The engine is asked for jobs; `now` in monotonic ns."""
        words = self.words
        words[MOVED] = now
        words[CLAIMING] = 1

    def claimed_nothing(self) -> None:
        """And has none."""
        words = self.words
        words[CLAIMS] = 0
        words[CLAIMING] = 0

    def set_claims(self, request: int, before: int = 0, first: str = "", many: int = 0) -> None:
        """So many new claims, `first` being the id of the first: nothing of them has started. What
        came before is settled, or done where it is of the request `before`."""
        self._first = (request << COUNT_BITS) + 1
        words = self.words
        words[STARTED] = 0
        words[BEFORE] = before
        words[REQUEST] = request
        words[ASKING] = 0
        words[FIRST] = order_of(first)
        words[CLAIMS] = many
        words[MOVED] = monotonic_ns()
        words[CLAIMING] = 0

    def claimed_at(self) -> int:
        """When `set_claims` was called last, in monotonic nanoseconds."""
        return self.words[MOVED]

    def set_returned(self, first: str, many: int) -> None:
        """The engine has taken back so many claims that were not started, `first` before all."""
        words = self.words
        words[RETURNED] = order_of(first)
        words[RETURNED_AT] = monotonic_ns()
        words[CLAIMS] = max(0, words[CLAIMS] - many)

    def set_asking(self, asking: bool) -> None:  # a word's value
        """Whether the job that starts has yet to be let through by its rate limits."""
        self.words[ASKING] = asking

    def set_unlimited(self, unlimited: bool) -> None:  # a word's value
        """Whether its last jobs had no rate limit, so that its next ones will have none either."""
        self.words[UNLIMITED] = unlimited

    def set_rss_at_start(self, memory: int) -> None:
        """So many bytes are there before the next job starts."""
        self.words[HELD] = memory

    def start(self, index: int, text: bytes, now: int) -> None:
        """A job starts. `text`: what `text()` has made of it; `now` in monotonic ns."""
        words = self.words
        words[SEQUENCE] += 1
        self._bytes[: len(text)] = text
        words[SEQUENCE] += 1
        words[SINCE] = now
        words[DEADLINE] = 0
        words[STARTED] = index + 1

    def set_deadline(self, limit: int, tries: int, delay: int) -> bool:
        """User code begins that the master shall end after `limit` microseconds; True if it would
        not look in time and must be told to."""
        words = self.words
        guarded = limit, tries, delay
        if guarded != self._last_guard:
            words[LIMIT], words[TRIES], words[DELAY] = self._last_guard = guarded
        deadline = monotonic_ns() + limit * 1000
        words[DEADLINE] = deadline
        return deadline < self._head[NEXT_LOOK]

    def clear_deadline(self) -> None:
        """It has ended. What follows waits for the engine, which is nobody's fault."""
        self.words[DEADLINE] = 0

    def set_finished(self, index: int) -> None:
        """The job ran to its end; should the worker die now, it is done. One store."""
        self.words[FINISHED] = self._first + index

    def set_settled(self, index: int) -> None:
        """The engine has accepted that this job ended otherwise than as done. Should the store lose
        that, it must not pass for done because one behind it is."""
        self.words[SETTLED] = self._first + index

    def clear_started(self) -> None:
        """Nothing is running, and what ran is settled."""
        self.words[STARTED] = 0

    def set_progress(self, done: int, total: int, note: str) -> None:
        """How far the job is that runs."""
        self.notes.set_progress(self.words[SINCE], done, total, note)

    def settled_jobs(self) -> int:
        """How many jobs this worker has brought to some end."""
        return sum(self.words[DONE : PARKED + 1])

    def count(self, word: int, queue: str, job: str, seconds: float) -> None:
        """A job of this queue and name has come to an end of this kind, after so long."""
        self.words[word] += 1
        try:
            cell = self._cells[word, queue, job]
        except KeyError:
            cell = self.notes.histogram.open(word, queue, job)
        self._buckets[cell + bisect_left(BOUNDS, seconds)] += 1
        self._sums[cell + SUM] += seconds

    def running_job(self) -> tuple[str, str, str]:
        """What `start` was told: id, queue and name, empty where nothing runs."""
        return read_text(self.words.cast("B"), self.words)


def of_request(words: memoryview, which: int) -> int:
    """What FINISHED or SETTLED says of REQUEST."""
    word = words[which]
    return int(word % (1 << COUNT_BITS)) if word >> COUNT_BITS == words[REQUEST] else 0


def order_of(id: str | bytes) -> int:
    """The place of a job among those made at about the same time, as its id tells; 0: none."""
    try:
        return max(0, int(id[:16], 16))  # no id of poolq's own begins with a minus
    except ValueError:
        return 0


def clear(words: memoryview) -> None:
    """For a new worker; called by the master before it forks one."""
    for word in range(TEXT):
        words[word] = 0


def text(id: str, queue: str, job: str) -> bytes:
    """What a row shows of a job: a line with NULs between its parts, cut to its room."""
    line = f"{id}\0{queue}\0{job}\n".encode()
    return line if len(line) <= TEXT_BYTES else line[: TEXT_BYTES - 1] + b"\n"


def read_text(memory: memoryview, words: memoryview) -> tuple[str, str, str]:
    """The text as (id, queue, job); empty ones while it is being written."""
    before = words[SEQUENCE]
    raw = bytes(memory[TEXT * 8 : WORDS * 8])
    if before % 2 or words[SEQUENCE] != before or not words[STARTED]:
        return "", "", ""
    parts = raw.partition(b"\n")[0].decode("utf-8", "replace").split("\0")
    id, queue, job = (*parts, "", "", "")[:3]
    return id, queue, job
