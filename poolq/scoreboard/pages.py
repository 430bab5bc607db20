"""The scoreboard's second half: what master, keeper and workers tell at more length than in words.

Who looks at the pool reads it (`monitor/reader.py`, `monitor/prometheus.py`), and no decision is
made by it. A page of the master (`master/publisher.py`) and two of the keeper
(`keeper/observer.py`, `monitor/samples.py`), their latest events, what workers have warned of and
know of limits (`start_order.py`), and each row's notes (`notes.py`). Memory that nobody has written
takes no room.
"""

from poolq.scoreboard import notes, start_order
from poolq.scoreboard.recent_events import RecentEvents
from poolq.scoreboard.shared_text import TextPage, TextRing

EVENTS = 64  # that are kept of master and keeper each
_RING = 8 + EVENTS * 1536
_SAMPLES = 1 << 14
_KEEPER = 1 << 18
_MASTER = 1 << 15
_MASTER_ROW = 512  # bytes of the master's page for a worker
_UNIT = 4096


def size(rows: int) -> int:
    """Bytes of all of it."""
    return _places(rows)[-1]


def _places(rows: int) -> list[int]:
    """Where the parts begin, and the end."""
    own = (_MASTER + rows * _MASTER_ROW, _RING)
    parts = (*own, _KEEPER, _RING, _SAMPLES, notes.WARNED, start_order.SIZE, rows * notes.SIZE)
    found = [0]
    for part in parts:
        found.append(found[-1] + part + -part % _UNIT)
    return found


class Pages:
    """`memory` has `size(rows)` bytes."""

    def __init__(self, memory: memoryview, rows: int) -> None:
        at = _places(rows)
        self.master = TextPage(memory[at[0] : at[1]])
        self.master_events = TextRing(memory[at[1] : at[1] + _RING], EVENTS)
        self.keeper = TextPage(memory[at[2] : at[3]])
        self.keeper_events = TextRing(memory[at[3] : at[3] + _RING], EVENTS)
        self.samples = TextPage(memory[at[4] : at[5]])
        self.warned = memory[at[5] : at[5] + notes.WARNED]
        self.limits = memory[at[6] : at[6] + start_order.SIZE]
        self._notes = memory[at[7] :]

    def notes(self, index: int) -> memoryview:
        """Of the worker in this row."""
        return self._notes[index * notes.SIZE : (index + 1) * notes.SIZE]

    def kinds_counted(self) -> memoryview:
        """Of each row: how many kinds of jobs were counted there (see `histogram.py`)."""
        return self._notes.cast("Q")[:: notes.SIZE // 8]

    def recent_events(self, who: str, row: int | None = None) -> RecentEvents:
        """To be written by the master, the keeper, or the worker in this row."""
        if row is not None:
            return RecentEvents(notes.NotesLayout(self.notes(row)).recent)
        return RecentEvents(self.master_events if who == "master" else self.keeper_events)
