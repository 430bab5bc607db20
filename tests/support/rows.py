"""A worker's row of the scoreboard, in memory that no other process sees."""

from __future__ import annotations

from poolq.scoreboard.layout import NOTES_BYTES, WORKER_WORDS, NotesLayout
from poolq.scoreboard.notes import Notes
from poolq.scoreboard.worker_row import WorkerRow


def own_row() -> WorkerRow:
    memory = memoryview(bytearray(WORKER_WORDS * 8))
    words = memory.cast("Q")
    notes = Notes(NotesLayout(memoryview(bytearray(NOTES_BYTES))), memory)
    return WorkerRow(memory, words, words, notes, memoryview(bytearray(8)).cast("Q"))
