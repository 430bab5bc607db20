"""All messages between the master and its templates: JSON, one a packet, over a socket pair.

master → template   ForkWorker    fork a worker into this row
ForkSpare    (with a descriptor) fork a dormant copy that listens there
CodeQuery  has the application's code changed since it was loaded?
template → master   Loaded   the application is loaded; workers can be forked
NotPreloaded     it cannot be preloaded: workers must import it for themselves
LoadFailed   it cannot be loaded: `code` is what the pool would exit with
Forked     the worker (seq) or the copy (seq 0) has this pid
CodeAnswer   to CodeQuery
"""

import socket
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from poolq.config import Config

MAX_MESSAGE_BYTES = 65536


class ForkWorker(msgspec.Struct, tag=True):
    seq: int
    row: int
    slot: int
    first: bool


class ForkSpare(msgspec.Struct, tag=True):
    pass


class CodeQuery(msgspec.Struct, tag=True):
    seq: int


class Loaded(msgspec.Struct, tag=True):
    pass


class NotPreloaded(msgspec.Struct, tag=True):
    why: str


class LoadFailed(msgspec.Struct, tag=True):
    why: str
    code: int
    trace: str


class Forked(msgspec.Struct, tag=True):
    seq: int
    pid: int


class ForkFailed(msgspec.Struct, tag=True):
    seq: int
    why: str


class CodeAnswer(msgspec.Struct, tag=True):
    seq: int
    changed: bool


Message = (
    ForkWorker
    | ForkSpare
    | CodeQuery
    | Loaded
    | NotPreloaded
    | LoadFailed
    | Forked
    | ForkFailed
    | CodeAnswer
)
_decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(Message)


def pair() -> tuple[socket.socket, socket.socket]:
    """The master's end and the template's."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def send(line: socket.socket, message: Message, *fds: int) -> bool:
    """False when the other end is gone (or too slow: its buffer is full)."""
    try:
        socket.send_fds(line, [msgspec.json.encode(message)], fds)
    except OSError:
        return False
    return True


def receive(line: socket.socket) -> tuple[Message | None, list[int]]:
    """The next message and the descriptors that came with it; None: the other end is gone.

    What is no message was not written by us, but by the user's code; it is passed over. Raises
    BlockingIOError on a line that does not block and has nothing.
    """
    while True:
        try:
            data, fds, _, _ = socket.recv_fds(line, MAX_MESSAGE_BYTES, 1)
        except ConnectionError:
            return None, []
        with suppress(msgspec.MsgspecError):
            return (_decoder.decode(data) if data else None), fds


class TemplateSetup(msgspec.Struct):
    """What a template is told at its start, through a memfd: an argument would show passwords."""

    config: Config
    node: str
    generation: int
    master: int
    line: int
    life: int
    rows: int
    board: int
    wakeups: list[int]
    writers: list[int]
    token: bytes


def encode(setup: TemplateSetup) -> bytes:
    return msgspec.json.encode(setup, enc_hook=str)


def decode(data: bytes) -> TemplateSetup:
    return msgspec.json.decode(data, type=TemplateSetup, dec_hook=lambda _type, value: Path(value))
