"""The protocol of a log pipe: how lines travel from a process to the logger.

- A pipe carries frames, written by poolq's processes, and between them anything that a job's
  subprocesses write. Each frame is one write of at most PIPE_BUF bytes, which the system never
  mixes with other writes. So the logger finds frames even in the middle of a subprocess's line.
- A frame consists of MARK, the pool's token, a kind, the writer's pid, the size and the body. The
  token is random for each pool, so that no other output looks like a frame.
- A WHOLE frame contains formatted blocks, each of one or several lines. A block that is too long
  for one frame is sent as FIRST, any number of MIDDLE, and LAST. The pid distinguishes the blocks
  of a worker from those of its forked children.
- An OUTPUT frame contains what Python code wrote to its stdout or stderr, lines or parts of them.
  Its body is the descriptor's digit, the time in microseconds, the job's id, NUL and the bytes.
- An END frame says that a job has ended. It separates the output of the job's subprocesses from the
  output of the next job. Its body is like that of an OUTPUT frame, but has no bytes after NUL.
"""

import fcntl
import os
import secrets
import select
import struct
import termios
from collections.abc import Iterable, Iterator
from typing import NamedTuple

MARK = b"\x1e"
TOKEN_BYTES = 8
HEADER_BYTES = len(MARK) + TOKEN_BYTES + 1 + 8 + 4
MAX_BODY = select.PIPE_BUF - HEADER_BYTES
WHOLE, FIRST, MIDDLE, LAST, OUTPUT, END = b"W", b"F", b"M", b"L", b"O", b"E"
TIME_DIGITS = 16  # of the microseconds since the epoch in an OUTPUT frame
RAW = b""
#: Maximum bytes of a line of output; a longer line is split.
MAX_LINE = 65_536


def new_token() -> bytes:
    return secrets.token_hex(TOKEN_BYTES // 2).encode()


def frames(token: bytes, blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the blocks as frames of this process. Each frame must be written by one write."""
    pid = os.getpid()
    held: list[bytes] = []
    size = 0
    for block in blocks:
        if size + len(block) > MAX_BODY:
            if held:
                yield _frame(token, pid, WHOLE, b"".join(held))
            held, size = [], 0
        if len(block) > MAX_BODY:
            last = len(block) - MAX_BODY
            yield _frame(token, pid, FIRST, block[:MAX_BODY])
            for offset in range(MAX_BODY, len(block), MAX_BODY):
                yield _frame(
                    token, pid, MIDDLE if offset < last else LAST, block[offset : offset + MAX_BODY]
                )
        else:
            held.append(block)
            size += len(block)
    if held:
        yield _frame(token, pid, WHOLE, b"".join(held))


class OutputBody(NamedTuple):
    """The body of an OUTPUT or END frame. `fd` is its descriptor's digit; `when`: seconds since the
    epoch, or 0 if the frame is damaged."""

    fd: bytes
    when: float
    job: str
    text: bytes


def output(token: bytes, fd: int, job: str, moment: float, data: bytes) -> Iterator[bytes]:
    """Yield what was written to stdout (1) or stderr (2) as frames of this process."""
    head = _head(fd, job, moment)
    room, pid = MAX_BODY - len(head), os.getpid()
    for offset in range(0, len(data), room):
        yield _frame(token, pid, OUTPUT, head + data[offset : offset + room])


def end_of_job(token: bytes, job: str, moment: float) -> bytes:
    """Return the frame that says that a job of this process has ended."""
    return _frame(token, os.getpid(), END, _head(0, job, moment))


def _head(fd: int, job: str, moment: float) -> bytes:
    id = job.encode("utf-8", "backslashreplace")[: MAX_BODY // 2]
    return b"%d%016d%b\0" % (fd, moment * 1e6, id)


def read_output(body: bytes) -> OutputBody:
    """Decode the body of an OUTPUT or END frame."""
    head, _, text = body.partition(b"\0")
    digits, job = head[1 : 1 + TIME_DIGITS], head[1 + TIME_DIGITS :]
    moment = int(digits) / 1e6 if digits.isdigit() else 0.0
    return OutputBody(head[:1], moment, job.decode("utf-8", "replace"), text)


def _frame(token: bytes, pid: int, kind: bytes, body: bytes) -> bytes:
    return b"%b%b%b%08x%04x%b" % (MARK, token, kind, pid, len(body), body)


def unread(fd: int) -> int:
    """Return how many unread bytes a pipe contains. `fd`: either end of the pipe."""
    (count,) = struct.unpack("i", fcntl.ioctl(fd, termios.FIONREAD, bytes(4)))
    return int(count)


def cut(line: bytes) -> Iterator[tuple[bytes, bool]]:
    """Yield pieces of at most MAX_LINE bytes, each with True if the line continues after it."""
    begin = 0
    while len(line) - begin > MAX_LINE:
        end = begin + MAX_LINE
        while end > begin + MAX_LINE - 3 and line[end] & 0xC0 == 0x80:  # inside a character
            end -= 1
        yield line[begin:end], True
        begin = end
    yield line[begin:], False


class Parser:
    """Splits a pipe's bytes into pairs: (WHOLE, blocks), (OUTPUT + pid, body), (END + pid, body) or
    (RAW, bytes)."""

    def __init__(self, token: bytes) -> None:
        self._start = MARK + token
        self._rest = b""
        self._long: dict[bytes, list[bytes]] = {}

    def feed(self, data: bytes) -> list[tuple[bytes, bytes]]:
        """Return what is complete; keep an incomplete frame for the next call."""
        data = self._rest + data
        self._rest = b""
        pieces: list[tuple[bytes, bytes]] = []
        offset = 0
        while (mark := data.find(self._start, offset)) >= 0:
            if mark > offset:
                pieces.append((RAW, data[offset:mark]))
            body = mark + HEADER_BYTES
            try:
                end = body + int(data[body - 4 : body], 16) if len(data) >= body else -1
            except ValueError:  # forged, since the size is no number
                pieces.append((RAW, self._start))
                offset = mark + len(self._start)
                continue
            if not 0 <= end <= len(data):
                self._rest = data[mark:]
                return pieces
            pieces += self._opened(data[mark + len(self._start) : body - 4], data[body:end])
            offset = end
        raw = data[offset:]
        tail = raw.rfind(MARK, max(0, len(raw) - TOKEN_BYTES))
        if tail >= 0 and self._start.startswith(raw[tail:]):
            self._rest, raw = raw[tail:], raw[:tail]
        if raw:
            pieces.append((RAW, raw))
        return pieces

    @property
    def incomplete(self) -> bool:
        """True if the kept bytes may be the beginning of a frame."""
        return bool(self._rest)

    def end(self) -> bytes:
        """Return the kept bytes as raw output. They are no frame, because nothing follows them."""
        raw, self._rest = self._rest, b""
        return raw

    def reset(self) -> None:
        """Drop incomplete frames and blocks, because the bytes that follow them are lost."""
        self._rest = b""
        self._long.clear()

    def _opened(self, sender: bytes, body: bytes) -> list[tuple[bytes, bytes]]:
        """Return the content of a frame, or nothing if the frame's block is still incomplete."""
        kind, pid = sender[:1], sender[1:]
        if kind == WHOLE:
            return [(WHOLE, body)]
        if kind in (OUTPUT, END):
            return [(sender, body)]
        if kind == FIRST:
            self._long[pid] = [body]
        elif kind in (MIDDLE, LAST) and pid in self._long:
            self._long[pid].append(body)
            if kind == LAST:
                return [(WHOLE, b"".join(self._long.pop(pid)))]
        return []
