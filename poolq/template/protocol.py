"""All messages between the master and its templates: one JSON text per packet, over a socket pair.

master → template
ForkWorker     fork a worker for this row of the scoreboard; with `check`, do so only if no file of
               the application has changed since it was loaded or last checked
ForkSpare      fork a dormant copy that listens on the descriptor sent along
template → master
Loaded         the application is loaded; workers can be forked
NotPreloaded   the application cannot be preloaded, so each worker must import it for itself
LoadFailed     the application cannot be loaded; `code` is the exit code for the pool
Forked         the worker (seq), or the copy (seq 0), has this pid
ForkFailed     the worker (seq), or the copy (seq 0), cannot be forked
CodeChanged    the worker (seq) was not forked, as these files have changed
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
    check: bool = False


class ForkSpare(msgspec.Struct, tag=True):
    pass


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


class CodeChanged(msgspec.Struct, tag=True):
    seq: int
    files: str


ToTemplate = ForkWorker | ForkSpare
ToMaster = Loaded | NotPreloaded | LoadFailed | Forked | ForkFailed | CodeChanged
Message = ToTemplate | ToMaster
_decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(Message)


def pair() -> tuple[socket.socket, socket.socket]:
    """Return a new socket pair: the master's end and the template's."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def send(line: socket.socket, message: Message, *fds: int) -> bool:
    """Send a message. Returns False if the other end is gone, or if the buffer is full."""
    try:
        socket.send_fds(line, [msgspec.json.encode(message)], fds)
    except OSError:
        return False
    return True


def receive(line: socket.socket) -> tuple[Message | None, list[int]]:
    """Return the next message, or None if the other end is gone, and the descriptors sent with it.
    Skip data that is not a message, because only the application can have written it. Raises
    BlockingIOError if the socket is non-blocking and nothing has arrived."""
    while True:
        try:
            data, fds, _, _ = socket.recv_fds(line, MAX_MESSAGE_BYTES, 1)
        except ConnectionError:
            return None, []
        with suppress(msgspec.MsgspecError):
            return (_decoder.decode(data) if data else None), fds


class TemplateSetup(msgspec.Struct):
    """The setup of a template. It is passed in a memfd, since arguments would reveal passwords.
    `line`, `life`, `board`, `wakeups` and `writers` are descriptors; `rows` is the scoreboard's
    size."""

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
