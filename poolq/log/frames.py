"""How lines travel from a process to the logger: the whole protocol of a log pipe.

- A pipe carries frames, written by a process of ours, and between them whatever the job's own
  subprocesses write. Each frame is one write of at most PIPE_BUF bytes, which the system never
  mixes with another; so frames can be cut out wherever they stand, even inside of a line.
- A frame is MARK, the pool's token, a kind, the writer's pid, the size, then the body. The token is
  random for every pool: no garbage can be taken for a frame.
- A WHOLE frame holds worded blocks, each a line or several. A longer block goes as FIRST, any
  MIDDLE, LAST; the pid keeps the blocks of a worker and of its forked children apart.
- An OUTPUT frame holds what Python code wrote to its stdout or stderr, lines or parts of them:
  the descriptor's digit, the job's id, NUL, the bytes.
"""

import os
import secrets
import select
from collections.abc import Iterable, Iterator

MARK = b"\x1e"
TOKEN_BYTES = 8  # bytes
HEADER = len(MARK) + TOKEN_BYTES + 1 + 8 + 4
MAX_BODY = select.PIPE_BUF - HEADER
WHOLE, FIRST, MIDDLE, LAST, OUTPUT = b"W", b"F", b"M", b"L", b"O"
RAW = b""
#: Bytes of output that are one line at most; more is cut.
MAX_LINE = 65_536


def new_token() -> bytes:
    """For a new pool."""
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
    """What was written to stdout (1) or stderr (2) as frames of this process."""
    head = b"%d%b\0" % (fd, job.encode("utf-8", "backslashreplace")[: MAX_BODY // 2])
    room, pid = MAX_BODY - len(head), os.getpid()
    for at in range(0, len(data), room):
        yield _frame(token, pid, OUTPUT, head + data[at : at + room])


def _frame(token: bytes, pid: int, kind: bytes, body: bytes) -> bytes:
    return b"%b%b%b%08x%04x%b" % (MARK, token, kind, pid, len(body), body)


def cut(line: bytes) -> Iterator[tuple[bytes, bool]]:
    """A line in pieces of at most LONGEST bytes; True: the line goes on."""
    at = 0
    while len(line) - at > MAX_LINE:
        end = at + MAX_LINE
        while end > at + MAX_LINE - 3 and line[end] & 0xC0 == 0x80:  # inside of a character
            end -= 1
        yield line[at:end], True
        at = end
    yield line[at:], False


class Parser:
    """Takes apart what one pipe gave, in order: (WHOLE, worded blocks), (OUTPUT and the pid, body)
    and (RAW, bytes)."""

    def __init__(self, token: bytes) -> None:
        self._start = MARK + token
        self._rest = b""
        self._long: dict[bytes, list[bytes]] = {}

    def feed(self, data: bytes) -> list[tuple[bytes, bytes]]:
        """What is complete; a frame that is not is kept for the next call."""
        data = self._rest + data
        self._rest = b""
        found: list[tuple[bytes, bytes]] = []
        at = 0
        while (mark := data.find(self._start, at)) >= 0:
            if mark > at:
                found.append((RAW, data[at:mark]))
            body = mark + HEADER
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
        """Something that may be a frame is not complete."""
        return bool(self._rest)

    def end(self) -> bytes:
        """Nothing more is expected: what was kept is no frame, so it is raw."""
        rest, self._rest = self._rest, b""
        return rest

    def reset(self) -> None:
        """Something in between is missing: what is incomplete can't be completed any more."""
        self._rest = b""
        self._long.clear()

    def _opened(self, sender: bytes, body: bytes) -> list[tuple[bytes, bytes]]:
        """What a frame gives: nothing while its block is not complete."""
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
