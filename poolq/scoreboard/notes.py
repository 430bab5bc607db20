"""What a worker tells of itself beside its scoreboard row: what it has counted, which limits hold
its jobs back and leave them one attempt, how far its job is, and what went wrong lately.

All of it lies in one piece of shared memory that belongs to the row. It stays when the worker dies,
and the next one in that row goes on with it. Beside it all workers of a pool share what was warned
of already.
"""

from collections.abc import Iterable
from time import monotonic
from typing import Any
from zlib import crc32

import msgspec

from poolq.scoreboard import histogram
from poolq.scoreboard.histogram import Histogram
from poolq.scoreboard.recent_events import RecentEvents
from poolq.scoreboard.shared_text import TextPage, TextRing

HELD, PROGRESS, RECENT, LAST_TRIES = 8192, 1024, 16_392, 12_288  # bytes
WARNED = 1 << 16  # bytes that all workers share: one is set for each warning
FAILURES = 8  # slots of RECENT
SIZE = 20 * 4096
KEYS = 16  # limits that are remembered: those that held something back last
NOTE = 200  # characters
MOST = 1 << 53  # JSON's numbers are exact up to here
ENDS = 4  # moments that are told apart, at which jobs that a limit has put off are due again
TOGETHER = 1.0  # seconds within which two of them are taken for one

#: By key: when so many jobs will have been due, in seconds of the monotonic clock.
LastTries = dict[str, list[tuple[float, int]]]


class NotesLayout:
    """Where each part lies."""

    def __init__(self, memory: memoryview) -> None:
        ends = [histogram.SIZE]
        for size in (HELD, PROGRESS, RECENT, LAST_TRIES):
            ends.append(ends[-1] + size)
        self.histogram = memory[: ends[0]]
        self.held = TextPage(memory[ends[0] : ends[1]])
        self.progress = TextPage(memory[ends[1] : ends[2]])
        self.recent = TextRing(memory[ends[2] : ends[3]], FAILURES)
        self.last_tries = TextPage(memory[ends[3] : ends[4]])


class Notes:
    """The worker's side. `warned`: WARNED bytes that all workers share."""

    __slots__ = (
        "_held",
        "_keys",
        "_last",
        "_last_tries",
        "_progress",
        "_warned",
        "histogram",
        "recent",
    )

    def __init__(self, memory: memoryview, warned: memoryview) -> None:
        self._warned = warned
        places = NotesLayout(memory)
        self.histogram = Histogram(places.histogram)
        self.recent = RecentEvents(places.recent)
        self._progress = places.progress
        self._held = places.held
        self._keys = read_held(places.held)
        self._last_tries = places.last_tries
        self._last = _read_last_tries(places.last_tries)

    def add_held(self, key: str) -> None:
        """A rate limit of this key has held a job back."""
        count = self._keys.pop(key, 0)
        self._keys[key] = count + 1
        if len(self._keys) > KEYS:
            del self._keys[next(iter(self._keys))]
        while (
            len(text := msgspec.json.encode(self._keys)) > self._held.capacity
        ):  # quotes take two bytes
            del self._keys[next(iter(self._keys))]
        self._held.write(text)

    def add_last_try(self, key: str, wait: float) -> None:
        """A rate limit of this key has put a job off for so many seconds, and left it one attempt:
        put off once more, it fails."""
        now = monotonic()
        ends = [one for one in self._last.pop(key, []) if one[0] > now]
        due, jobs = now + wait, 1
        if ends and (len(ends) == ENDS or abs(due - ends[-1][0]) < TOGETHER):
            last, more = ends.pop()
            due, jobs = max(due, last), more + 1
        self._last[key] = [*ends, (due, jobs)]
        if len(self._last) > KEYS:
            del self._last[next(iter(self._last))]
        while len(text := msgspec.json.encode(self._last)) > self._last_tries.capacity:
            del self._last[next(iter(self._last))]
        self._last_tries.write(text)

    def first_warning(self, of: str) -> bool:
        """True once in a pool: what is warned of is worth no second line from another worker."""
        place = crc32(of.encode()) % len(self._warned)
        seen, self._warned[place] = self._warned[place], 1
        return not seen

    def set_progress(self, since: int, done: int, total: int, note: str) -> None:
        """How far the job is that began at `since`, which tells it from the next one."""
        text = "".join(ch if ch.isprintable() else " " for ch in note[:NOTE])
        done, total = (max(-MOST, min(number, MOST)) for number in (done, total))
        self._progress.write(msgspec.json.encode((since, done, total, text)))


def read_held(page: TextPage) -> dict[str, int]:
    """How many jobs each limit has held back, by key."""
    return _decoded(page.read(), dict[str, int]) or {}


def _read_last_tries(page: TextPage) -> LastTries:
    return _decoded(page.read(), LastTries) or {}


def count_last_tries(page: TextPage, now: float) -> Iterable[tuple[str, int]]:
    """By key, the jobs that a limit has left one attempt, and that are not due again at `now`."""
    for key, ends in _read_last_tries(page).items():
        if jobs := sum(many for due, many in ends if due > now):
            yield key, jobs


def read_progress(page: TextPage) -> tuple[int, int, int, str] | None:
    """When the job began that told it, done, total, note."""
    found: tuple[int, int, int, str] | None = _decoded(page.read(), tuple[int, int, int, str])
    return found


def _decoded(data: bytes, kind: Any) -> Any:
    try:
        return msgspec.json.decode(data, type=kind) if data else None
    except msgspec.MsgspecError:
        return None
