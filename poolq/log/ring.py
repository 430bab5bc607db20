"""The logger's buffer. Its memory outlives a killed logger, whose successor continues with it.

- A record is what one read of one pipe returned, with its source and time. The reading thread adds
  records at TAIL, the sink's thread takes them from HEAD. Each thread changes its word, TAIL or
  HEAD, only when its operation is complete.
- One system call moves the bytes from a pipe to their place in the ring. Before this call, the
  place contains a sentinel, so the successor of a dead logger knows whether the bytes were moved.
- If there is no room, the reading thread may drop the oldest records. It then counts their lines.

Positions only grow; the place in the ring is the position modulo the ring's size. A record that
begins near the ring's end continues in spare room behind the ring. Each word has 8 bytes, which are
stored at once.
"""

import mmap
import os
import secrets
import struct
from threading import Lock
from typing import NamedTuple

RING_BYTES = 8 << 20
MAX_READ = 1 << 20  # maximum bytes of one record
HEAD, TAIL, INTENT, DROPPED, EXIT_REQUESTED = range(5)  # the first words
#: Length (a word), source, time, slot, and the job's id, of which only the beginning may fit.
_HEADER = struct.Struct("=QQdQ96p")
HEADER_BYTES = _HEADER.size  # each record, and the first words, take a multiple of this
SENTINEL = secrets.token_bytes(16)  # created in the master, so all loggers of a pool have it


class Record(NamedTuple):
    """`when`: seconds since the epoch; `slot` and `job`: of the writing process at that time."""

    source: int
    when: float
    slot: int
    job: str
    body: bytes


class LogRing:
    """Created by the master; used by a reading thread and a sink thread of one logger at a time."""

    def __init__(self, size: int = RING_BYTES) -> None:
        self._size = size
        self._map = mmap.mmap(-1, HEADER_BYTES + size + MAX_READ)
        self._data = memoryview(self._map)
        self._words = self._data.cast("Q")
        self._lock = Lock()
        self._cursor = 0

    # the master

    def request_exit(self) -> None:
        """Make the logger exit when all is written, because all other processes have ended."""
        self._words[EXIT_REQUESTED] = 1

    # the logger

    @property
    def exit_requested(self) -> bool:
        return bool(self._words[EXIT_REQUESTED])

    def recover(self) -> None:
        """Complete what a killed logger left unfinished. Each logger calls this at its start."""
        words = self._words
        tail = words[TAIL] = max(words[TAIL], words[HEAD])
        if words[INTENT] == tail + 1:
            body = self._body(tail)
            if body[: len(SENTINEL)] != SENTINEL[: len(body)]:
                words[TAIL] = tail + _span(len(body))
        words[INTENT] = 0
        self._cursor = words[HEAD]

    # the reading thread

    def read(
        self, fd: int, length: int, source: int, moment: float, slot: int, job: str, *, drop: bool
    ) -> bool:
        """Move `length` available bytes, at most MAX_READ, from `fd` into a record. If there is no
        room, drop the oldest records if `drop` is true; otherwise return False."""
        with self._lock:
            words = self._words
            while self._size - (words[TAIL] - words[HEAD]) < _span(length):
                if not drop:
                    return False
                self._drop()
            tail = words[TAIL]
            place = self._place(tail)
            words[INTENT] = 0
            _HEADER.pack_into(self._map, place, length, source, moment, slot, job.encode())
            body = self._body(tail)
            body[: len(SENTINEL)] = SENTINEL[:length]
            words[INTENT] = tail + 1
            words[place // 8] = length = os.readv(fd, [body])
            words[TAIL] = tail + _span(length)
            return True

    def _drop(self) -> None:
        """Drop the oldest record, and count its lines unless the sink is writing them."""
        head = self._words[HEAD]
        body = self._body(head)
        if head >= self._cursor:
            self._words[DROPPED] += max(1, body.tobytes().count(b"\n"))
            self._cursor = head + _span(len(body))
        self._words[HEAD] = head + _span(len(body))

    # the sink's thread

    def take(self, max_bytes: int) -> tuple[list[Record], int]:
        """Return the next records, of about `max_bytes` bytes, and the number of lines that were
        dropped since the last call. The records stay in the ring until `done`."""
        records: list[Record] = []
        size = 0
        with self._lock:
            lost, self._words[DROPPED] = self._words[DROPPED], 0
            while self._cursor < self._words[TAIL] and size < max_bytes:
                place = self._place(self._cursor)
                length, source, moment, slot, job = _HEADER.unpack_from(self._map, place)
                body = self._body(self._cursor).tobytes()
                records.append(Record(source, moment, slot, job.decode("utf-8", "ignore"), body))
                size += length
                self._cursor += _span(length)
        return records, lost

    def done(self) -> None:
        """Free the records that were taken, now that they are written."""
        with self._lock:
            self._words[HEAD] = max(self._words[HEAD], self._cursor)

    # positions

    def _place(self, position: int) -> int:
        return HEADER_BYTES + position % self._size

    def _body(self, position: int) -> memoryview:
        """Return the body of the record at a position, which is as long as its header says."""
        place = self._place(position)
        return self._data[place + HEADER_BYTES : place + HEADER_BYTES + self._words[place // 8]]


def _span(length: int) -> int:
    """Return the bytes that a record takes."""
    return HEADER_BYTES + length + -length % HEADER_BYTES
