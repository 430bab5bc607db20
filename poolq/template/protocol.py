"""All messages between the master and its templates: JSON, one a packet, over a socket pair.

master → template   Spawn    fork a worker into this row
Spare    (with a descriptor) fork a dormant copy that listens there
Changed  has the application's code changed since it was loaded?
template → master   Loaded   the application is loaded; workers can be forked
Bare     it cannot be preloaded: workers must import it for themselves
Failed   it cannot be loaded: `code` is what the pool would exit with
Born     the worker (seq) or the copy (seq 0) has this pid
Answer   to Changed
"""

import socket
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from poolq.config import Config

SIZE = 65536


class Spawn(msgspec.Struct, tag=True):
    seq: int
    row: int
    slot: int
    first: bool


class Spare(msgspec.Struct, tag=True):
    pass


class Changed(msgspec.Struct, tag=True):
    seq: int


class Loaded(msgspec.Struct, tag=True):
    pass


class Bare(msgspec.Struct, tag=True):
    why: str


class Failed(msgspec.Struct, tag=True):
    why: str
    code: int
    trace: str


class Born(msgspec.Struct, tag=True):
    seq: int
    pid: int


class Unborn(msgspec.Struct, tag=True):
    seq: int
    why: str


class Answer(msgspec.Struct, tag=True):
    seq: int
    changed: bool


Message = Spawn | Spare | Changed | Loaded | Bare | Failed | Born | Unborn | Answer
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
            data, fds, _, _ = socket.recv_fds(line, SIZE, 1)
        except ConnectionError:
            return None, []
        with suppress(msgspec.MsgspecError):
            return (_decoder.decode(data) if data else None), fds


class Errand(msgspec.Struct):
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


def encode(errand: Errand) -> bytes:
    return msgspec.json.encode(errand, enc_hook=str)


def decode(data: bytes) -> Errand:
    return msgspec.json.decode(data, type=Errand, dec_hook=lambda _type, value: Path(value))
