"""What a worker publishes besides the words of its row: counts of jobs; the limits that have held
jobs back, or left them one attempt; the progress of its job; and recent warnings and errors.

All of it is in one piece of shared memory that belongs to the row (`layout.NotesLayout`). The
memory remains when the worker dies, and the row's next worker continues to use it. In addition, all
workers of a pool share a record of which warnings have been logged.
"""

from collections.abc import Iterable
from time import monotonic
from typing import Any
from zlib import crc32

import msgspec

from poolq.scoreboard.histogram import Histogram
from poolq.scoreboard.layout import NotesLayout
from poolq.scoreboard.recent_events import RecentEvents
from poolq.scoreboard.shared_text import TextPage

MAX_KEYS = 16  # limits to remember: those that held jobs back most recently
MAX_NOTE_CHARS = 200
MAX_JSON_INT = 1 << 53  # JSON's numbers are exact up to here
MAX_MOMENTS = 4  # due times of released jobs to remember for each limit
MERGE_WITHIN = 1.0  # seconds within which two of these times count as one

#: For each limit's key, pairs of a time in monotonic seconds and how many jobs are due then.
LastTries = dict[str, list[tuple[float, int]]]


class Notes:
    """The worker's side. `warned`: WARNED_BYTES that all workers share."""

    __slots__ = (
        "_held", "_keys", "_last", "_last_tries", "_progress", "_warned", "histogram", "recent",
    )  # fmt: skip

    def __init__(self, memory: memoryview, warned: memoryview) -> None:
        self._warned = warned
        parts = NotesLayout(memory)
        self.histogram = Histogram(parts.histogram)
        self.recent = RecentEvents(parts.recent)
        self._progress = parts.progress
        self._held = parts.held
        self._keys = read_held(parts.held)
        self._last_tries = parts.last_tries
        self._last = _read_last_tries(parts.last_tries)

    def add_held(self, key: str) -> None:
        """Count a job that the rate limit of this key has held back."""
        count = self._keys.pop(key, 0)
        self._keys[key] = count + 1
        _write_newest(self._keys, self._held)

    def add_last_try(self, key: str, wait: float) -> None:
        """Record that the rate limit of this key has released a job for `wait` seconds and left it
        one attempt. The job fails if the limit releases it again."""
        now = monotonic()
        ends = [one for one in self._last.pop(key, []) if one[0] > now]
        due, jobs = now + wait, 1
        if ends and (len(ends) == MAX_MOMENTS or abs(due - ends[-1][0]) < MERGE_WITHIN):
            last, more = ends.pop()
            due, jobs = max(due, last), more + 1
        self._last[key] = [*ends, (due, jobs)]
        _write_newest(self._last, self._last_tries)

    def first_warning(self, of: str) -> bool:
        """Return True for a text only once in a pool, so that each warning is logged only once."""
        place = crc32(of.encode()) % len(self._warned)
        seen, self._warned[place] = self._warned[place], 1
        return not seen

    def set_progress(self, since: int, done: int, total: int, note: str) -> None:
        """Publish the progress of the running job, which its start time `since` identifies."""
        text = "".join(ch if ch.isprintable() else " " for ch in note[:MAX_NOTE_CHARS])
        done, total = (max(-MAX_JSON_INT, min(number, MAX_JSON_INT)) for number in (done, total))
        self._progress.write(msgspec.json.encode((since, done, total, text)))


def _write_newest(found: dict[str, Any], page: TextPage) -> None:
    """Write the newest keys: at most MAX_KEYS, and no more than fit into the page."""
    text = b""
    while len(found) > MAX_KEYS or len(text := msgspec.json.encode(found)) > page.capacity:
        del found[next(iter(found))]
    page.write(text)


def read_held(page: TextPage) -> dict[str, int]:
    """Return how many jobs each limit has held back, by its key."""
    return _decoded(page.read(), dict[str, int]) or {}


def _read_last_tries(page: TextPage) -> LastTries:
    return _decoded(page.read(), LastTries) or {}


def count_last_tries(page: TextPage, now: float) -> Iterable[tuple[str, int]]:
    """Yield each limit's key, and how many jobs with one attempt left are not due yet at `now`."""
    for key, ends in _read_last_tries(page).items():
        if jobs := sum(many for due, many in ends if due > now):
            yield key, jobs


def read_progress(page: TextPage) -> tuple[int, int, int, str] | None:
    """Return the job's start time, done, total and note; None if there is no progress."""
    found: tuple[int, int, int, str] | None = _decoded(page.read(), tuple[int, int, int, str])
    return found


def _decoded(data: bytes, kind: Any) -> Any:
    try:
        return msgspec.json.decode(data, type=kind) if data else None
    except msgspec.MsgspecError:
        return None
