"""What a worker publishes in addition to its scoreboard row: counts of jobs; the limits that have
held jobs back; the progress of its job; and recent warnings and errors.

All of it is in one piece of shared memory that belongs to the row (`layout.NotesLayout`). The
memory remains when the worker dies, and the row's next worker continues to use it. In addition, all
workers of a pool share a record of which warnings have been logged.
"""

from typing import Any
from zlib import crc32

import msgspec
from msgspec.json import encode

from poolq.scoreboard.histogram import Histogram
from poolq.scoreboard.layout import NotesLayout
from poolq.scoreboard.recent_events import RecentEvents
from poolq.scoreboard.shared_text import TextPage

MAX_KEYS = 16  # limits to remember: those that held jobs back most recently
MAX_NOTE_CHARS = 200
MAX_JSON_INT = 1 << 53  # JSON's numbers are exact up to here


class Notes:
    """The worker's side. `warned`: WARNED_BYTES that all workers share."""

    __slots__ = ("_held", "_keys", "_progress", "_warned", "histogram", "recent")

    def __init__(self, parts: NotesLayout, warned: memoryview) -> None:
        self._warned = warned
        self.histogram = Histogram(parts.histogram)
        self.recent = RecentEvents(parts.recent)
        self._progress = parts.progress
        self._held = parts.held
        self._keys = read_held(parts.held)

    def add_held(self, key: str) -> None:
        """Count a job that the rate limit of this key has held back. Only the newest keys are kept:
        at most MAX_KEYS, and only as many as fit into the page."""
        count = self._keys.pop(key, 0)
        self._keys[key] = count + 1
        text = b""
        while len(self._keys) > MAX_KEYS or len(text := encode(self._keys)) > self._held.capacity:
            del self._keys[next(iter(self._keys))]
        self._held.write(text)

    def first_warning(self, text: str) -> bool:
        """Return True for a text only once in a pool, so that each warning is logged only once."""
        place = crc32(text.encode()) % len(self._warned)
        logged, self._warned[place] = self._warned[place], 1
        return not logged

    def set_progress(self, since: int, done: int, total: int, note: str) -> None:
        """Publish the progress of the running job. `since`: its start time, which identifies it."""
        text = "".join(ch if ch.isprintable() else " " for ch in note[:MAX_NOTE_CHARS])
        done, total = (max(-MAX_JSON_INT, min(number, MAX_JSON_INT)) for number in (done, total))
        self._progress.write(encode((since, done, total, text)))


def read_held(page: TextPage) -> dict[str, int]:
    """Return how many jobs each limit has held back, by its key."""
    return _decoded(page.read(), dict[str, int]) or {}


def read_progress(page: TextPage) -> tuple[int, int, int, str] | None:
    """Return the job's start time, done, total and note; None if there is no progress."""
    report: tuple[int, int, int, str] | None = _decoded(page.read(), tuple[int, int, int, str])
    return report


def _decoded(data: bytes, kind: Any) -> Any:
    try:
        return msgspec.json.decode(data, type=kind) if data else None
    except msgspec.MsgspecError:
        return None
