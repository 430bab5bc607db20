"""How lines travel from a process to the logger: the whole protocol of a log pipe.

- A pipe carries frames, written by poolq's processes, and between them whatever a job's
  subprocesses write. Each frame is one write of at most PIPE_BUF bytes, which the system never
  mixes with another. So frames can be cut out wherever they begin, even in the middle of a line.
- A frame is MARK, the pool's token, a kind, the writer's pid, the size, then the body. The token is
  random for each pool, so no garbage looks like a frame.
- A WHOLE frame holds formatted blocks, each of a line or several. A longer block is sent as FIRST,
  any number of MIDDLE, and LAST; the pid keeps the blocks of a worker and of its forked children
  apart.
- An OUTPUT frame holds what Python code wrote to its stdout or stderr, lines or parts of them: the
  descriptor's digit, the job's id, NUL, the bytes.
"""

import os
import secrets
import select
from collections.abc import Iterable, Iterator

MARK = b"\x1e"
TOKEN_BYTES = 8
HEADER_BYTES = len(MARK) + TOKEN_BYTES + 1 + 8 + 4
MAX_BODY = select.PIPE_BUF - HEADER_BYTES
WHOLE, FIRST, MIDDLE, LAST, OUTPUT = b"W", b"F", b"M", b"L", b"O"
RAW = b""
#: Bytes of a line of output, at most; a longer line is cut.
MAX_LINE = 65_536


def new_token() -> bytes:
    """A token for a new pool."""
    return secrets.token_hex(TOKEN_BYTES // 2).encode()


def frames(token: bytes, blocks: Iterable[bytes]) -> Iterator[bytes]:
    """The blocks as frames of this process, each to be written at once."""
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
            for at in range(MAX_BODY, len(block), MAX_BODY):
                yield _frame(token, pid, MIDDLE if at < last else LAST, block[at : at + MAX_BODY])
        else:
            held.append(block)
            size += len(block)
    if held:
        yield _frame(token, pid, WHOLE, b"".join(held))


def output(token: bytes, fd: int, job: str, data: bytes) -> Iterator[bytes]:
    """What was written to stdout (1) or stderr (2), as frames of this process."""
    head = b"%d%b\0" % (fd, job.encode("utf-8", "backslashreplace")[: MAX_BODY // 2])
    room, pid = MAX_BODY - len(head), os.getpid()
    for at in range(0, len(data), room):
        yield _frame(token, pid, OUTPUT, head + data[at : at + room])


def _frame(token: bytes, pid: int, kind: bytes, body: bytes) -> bytes:
    return b"%b%b%b%08x%04x%b" % (MARK, token, kind, pid, len(body), body)


def cut(line: bytes) -> Iterator[tuple[bytes, bool]]:
    """A line in pieces of at most MAX_LINE bytes; True: the line continues."""
    at = 0
    while len(line) - at > MAX_LINE:
        end = at + MAX_LINE
        while end > at + MAX_LINE - 3 and line[end] & 0xC0 == 0x80:  # inside a character
            end -= 1
        yield line[at:end], True
        at = end
    yield line[at:], False


class Parser:
    """Takes apart the bytes of a pipe: (WHOLE, blocks), (OUTPUT and pid, body), (RAW, bytes)."""

    def __init__(self, token: bytes) -> None:
        self._start = MARK + token
        self._rest = b""
        self._long: dict[bytes, list[bytes]] = {}

    def feed(self, data: bytes) -> list[tuple[bytes, bytes]]:
        """What is complete; an incomplete frame is kept for the next call."""
        data = self._rest + data
        self._rest = b""
        found: list[tuple[bytes, bytes]] = []
        at = 0
        while (mark := data.find(self._start, at)) >= 0:
            if mark > at:
                found.append((RAW, data[at:mark]))
            body = mark + HEADER_BYTES
            try:
                end = body + int(data[body - 4 : body], 16) if len(data) >= body else -1
            except ValueError:  # forged
                found.append((RAW, self._start))
                at = mark + len(self._start)
                continue
            if not 0 <= end <= len(data):
                self._rest = data[mark:]
                return found
            found += self._opened(data[mark + len(self._start) : body - 4], data[body:end])
            at = end
        raw = data[at:]
        tail = raw.rfind(MARK, max(0, len(raw) - TOKEN_BYTES))
        if tail >= 0 and self._start.startswith(raw[tail:]):
            self._rest, raw = raw[tail:], raw[:tail]
        if raw:
            found.append((RAW, raw))
        return found

    @property
    def incomplete(self) -> bool:
        """True if what is kept may be the beginning of a frame."""
        return bool(self._rest)

    def end(self) -> bytes:
        """Nothing more is expected, so what was kept is no frame but raw bytes."""
        rest, self._rest = self._rest, b""
        return rest

    def reset(self) -> None:
        """Bytes are missing from here: incomplete frames and blocks are dropped."""
        self._rest = b""
        self._long.clear()

    def _opened(self, sender: bytes, body: bytes) -> list[tuple[bytes, bytes]]:
        """The content of a frame; nothing while its block is incomplete."""
        kind, pid = sender[:1], sender[1:]
        if kind == WHOLE:
            return [(WHOLE, body)]
        if kind == OUTPUT:
            return [(sender, body)]
        if kind == FIRST:
            self._long[pid] = [body]
        elif kind in (MIDDLE, LAST) and pid in self._long:
            self._long[pid].append(body)
            if kind == LAST:
                return [(WHOLE, b"".join(self._long.pop(pid)))]
        return []
