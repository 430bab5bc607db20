"""What a worker tells of itself beside its scoreboard row: what it has counted, which limits hold
its jobs back, how far its job is, and what went wrong lately.

All of it lies in one piece of shared memory that belongs to the row. It stays when the worker dies,
and the next one in that row goes on with it.
"""

from typing import Any

import msgspec

from poolq.worker import tally
from poolq.worker.recent import Recent
from poolq.worker.shared import Page, Ring
from poolq.worker.tally import Tally

HELD, PROGRESS, RECENT = 8192, 1024, 16_392  # bytes
FAILURES = 8  # slots of RECENT
SIZE = 17 * 4096
KEYS = 16  # limits that are remembered: those that held something back last
NOTE = 200  # characters
MOST = 1 << 53  # JSON's numbers are exact up to here


class Places:
    """Where each part lies."""

    def __init__(self, memory: memoryview) -> None:
        ends = [tally.SIZE]
        for size in (HELD, PROGRESS, RECENT):
            ends.append(ends[-1] + size)
        self.tally = memory[: ends[0]]
        self.held = Page(memory[ends[0] : ends[1]])
        self.progress = Page(memory[ends[1] : ends[2]])
        self.recent = Ring(memory[ends[2] : ends[3]], FAILURES)


class Notes:
    """The worker's side."""

    __slots__ = ("_held", "_keys", "_progress", "recent", "tally")

    def __init__(self, memory: memoryview) -> None:
        places = Places(memory)
        self.tally = Tally(places.tally)
        self.recent = Recent(places.recent)
        self._progress = places.progress
        self._held = places.held
        self._keys = read_held(places.held)

    def held(self, key: str) -> None:
        """A rate limit of this key has held a job back."""
        count = self._keys.pop(key, 0)
        self._keys[key] = count + 1
        if len(self._keys) > KEYS:
            del self._keys[next(iter(self._keys))]
        while (
            len(text := msgspec.json.encode(self._keys)) > self._held.room
        ):  # quotes take two bytes
            del self._keys[next(iter(self._keys))]
        self._held.write(text)

    def progress(self, since: int, done: int, total: int, note: str) -> None:
        """How far the job is that began at `since`, which tells it from the next one."""
        text = "".join(ch if ch.isprintable() else " " for ch in note[:NOTE])
        done, total = (max(-MOST, min(number, MOST)) for number in (done, total))
        self._progress.write(msgspec.json.encode((since, done, total, text)))


def read_held(page: Page) -> dict[str, int]:
    """How many jobs each limit has held back, by key."""
    return _decoded(page.read(), dict[str, int]) or {}


def read_progress(page: Page) -> tuple[int, int, int, str] | None:
    """When the job began that told it, done, total, note."""
    found: tuple[int, int, int, str] | None = _decoded(page.read(), tuple[int, int, int, str])
    return found


def _decoded(data: bytes, kind: Any) -> Any:
    try:
        return msgspec.json.decode(data, type=kind) if data else None
    except msgspec.MsgspecError:
        return None
