"""The logger's buffer. Its memory outlives a killed logger, whose successor continues with it.

- A record is what one read of one pipe returned, with its source and time. The reading thread adds
  records at TAIL, the sink's thread takes them from HEAD. Each thread changes its word, TAIL or
  HEAD, only when its operation is complete.
- One system call moves the bytes from a pipe to their place in the ring. Before this call, the
  place contains a sentinel, so the successor of a dead logger knows whether the bytes were moved.
- If there is no room, the oldest records are dropped (`drop`), and their lines counted.

Positions only grow; the place in the ring is the position modulo the ring's size. Each word is
stored at once, in 8 bytes.
"""

import mmap
import os
import secrets
from threading import Lock
from typing import NamedTuple

RING_BYTES = 8 << 20
CONTROL_BYTES = 64  # the words below
HEAD, TAIL, INTENT, DROPPED, EXIT_REQUESTED = range(5)
HEADER_BYTES = 128  # records are aligned to this, too
LENGTH, SOURCE, WHEN, SLOT, JOB_LENGTH = range(5)  # words of a header, then the job's id
JOB = 40
JOB_ROOM = HEADER_BYTES - JOB
PAD = 1 << 32  # the source of a record that only fills the end of the memory
SENTINEL = secrets.token_bytes(16)  # created in the master, so all loggers of a pool have it
#: An empty ring starts again at its beginning if its position is beyond this.
REWIND_BYTES = 512 << 10


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
        self._map = mmap.mmap(-1, CONTROL_BYTES + size)
        memory = memoryview(self._map)
        self._control = memory[:CONTROL_BYTES].cast("Q")
        self._data = memory[CONTROL_BYTES:]
        self._lock = Lock()
        self._cursor = 0

    # the master

    def request_exit(self) -> None:
        """Make the logger exit when all is written, because all other processes have ended."""
        self._control[EXIT_REQUESTED] = 1

    # the logger

    @property
    def exit_requested(self) -> bool:
        return bool(self._control[EXIT_REQUESTED])

    def recover(self) -> None:
        """Complete what a killed logger left unfinished. Each logger calls this at its start."""
        control = self._control
        tail = control[TAIL] = max(control[TAIL], control[HEAD])
        if control[INTENT] == tail + 1:
            length = self._header(tail)[LENGTH]
            if not self._body(tail, length).tobytes().startswith(SENTINEL[:length]):
                control[TAIL] = tail + _span(length)
        control[INTENT] = 0
        self._cursor = control[HEAD]

    # the reading thread

    def read(self, fd: int, length: int, source: int, when: float, slot: int, job: str) -> bool:
        """Move `length` available bytes from `fd` into a record. Return False for lack of room."""
        with self._lock:
            tail = self._reserve(length)
            if tail is None:
                return False
            control, header = self._control, self._header(tail)
            control[INTENT] = 0
            header[LENGTH], header[SOURCE], header[WHEN] = length, source, round(when * 1e6)
            id = job.encode()[:JOB_ROOM]
            header[SLOT], header[JOB_LENGTH] = slot, len(id)
            start = tail % self._size + JOB
            self._data[start : start + len(id)] = id
            body = self._body(tail, length)
            body[: len(SENTINEL)] = SENTINEL[:length]
            control[INTENT] = tail + 1
            header[LENGTH] = os.readv(fd, [body])
            control[TAIL] = tail + _span(header[LENGTH])
            return True

    def drop(self, length: int) -> None:
        """Make room for `length` bytes at the cost of the oldest records."""
        with self._lock:
            while self._room() < _span(length) + self._to_end(length):
                head = self._control[HEAD]
                header = self._header(head)
                body = self._body(head, header[LENGTH])
                if head >= self._cursor:  # not one of the records that the sink is writing
                    if header[SOURCE] != PAD:
                        self._control[DROPPED] += max(1, body.tobytes().count(b"\n"))
                    self._cursor = head + _span(header[LENGTH])
                self._control[HEAD] = head + _span(header[LENGTH])

    # the sink's thread

    def take(self, most: int) -> tuple[list[Record], int]:
        """Return the next records, of about `most` bytes, and the number of lines that were dropped
        since the last call. The records stay in the ring until `done`."""
        found, size = [], 0
        with self._lock:
            lost, self._control[DROPPED] = self._control[DROPPED], 0
            while self._cursor < self._control[TAIL] and size < most:
                header = self._header(self._cursor)
                length = header[LENGTH]
                if header[SOURCE] != PAD:
                    found.append(self._record(self._cursor))
                    size += length
                self._cursor += _span(length)
        return found, lost

    def done(self) -> None:
        """Free the records that were taken, now that they are written."""
        with self._lock:
            self._control[HEAD] = max(self._control[HEAD], self._cursor)

    def empty(self) -> bool:
        return self._control[HEAD] >= self._control[TAIL]

    # positions

    def _reserve(self, length: int) -> int | None:
        """Return a record's position, after a pad if it would cross the end; None without room."""
        control = self._control
        if control[HEAD] == control[TAIL] and control[TAIL] % self._size > REWIND_BYTES:
            first = control[TAIL] + self._size - control[TAIL] % self._size
            control[HEAD] = self._cursor = first
            control[TAIL] = first
        skip = self._to_end(length)
        if self._room() < skip + _span(length):
            return None
        if skip:
            header = self._header(control[TAIL])
            header[SOURCE], header[LENGTH] = PAD, skip - HEADER_BYTES
            control[TAIL] += skip
        return control[TAIL]

    def _to_end(self, length: int) -> int:
        """Return how many bytes to skip at the end, so that a record is stored in one piece."""
        left = self._size - self._control[TAIL] % self._size
        return left if left < _span(length) else 0

    def _room(self) -> int:
        return self._size - (self._control[TAIL] - self._control[HEAD])

    def _record(self, at: int) -> Record:
        header = self._header(at)
        start = at % self._size + JOB
        job = self._data[start : start + header[JOB_LENGTH]].tobytes().decode("utf-8", "ignore")
        body = self._body(at, header[LENGTH]).tobytes()
        return Record(header[SOURCE], header[WHEN] / 1e6, header[SLOT], job, body)

    def _header(self, at: int) -> memoryview:
        start = at % self._size
        return self._data[start : start + JOB].cast("Q")

    def _body(self, at: int, length: int) -> memoryview:
        start = at % self._size + HEADER_BYTES
        return self._data[start : start + length]


def _span(length: int) -> int:
    """Return the bytes that a record takes."""
    return HEADER_BYTES + length + -length % HEADER_BYTES
