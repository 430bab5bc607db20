"""Commands to a pool that is none, but a program that holds a pool's name and answers as it likes:
each ends with one line, and without a traceback, whatever it is told or shown."""

from __future__ import annotations

import fcntl
import json
import os
import random
import select
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing import get_context
from pathlib import Path

import pytest

from poolq.control.client import attach
from poolq.scoreboard import layout
from poolq.system.runtime_folder import PoolLock, running_pools
from tests.process.engines import sqlite
from tests.support.cli import Command, Done
from tests.support.project import Project
from tests.support.wait import until

COMMANDS = (
    ("status",), ("status", "--json"), ("pause",), ("resume",), ("scale", "+1"), ("reload",),
    ("reload", "--wait"), ("drain", "--wait"), ("stop", "--wait"), ("kill", "0192"),
    ("top", "--once"), ("top", "--json"), ("log",), ("health", "--live"), ("health", "--ready"),
)  # fmt: skip
ROWS = 3
Serve = Callable[[socket.socket, bytes], None]


@contextmanager
def hostile(folder: Path, serve: Serve) -> Iterator[Command]:
    """Another process has the name of a pool, and serves each request with `serve`."""

    def main() -> None:
        lock = PoolLock("default", folder)
        while True:
            select.select([lock.listener], [], [])
            line, _ = lock.listener.accept()
            with suppress(OSError):
                while asked := line.recv(4096):
                    serve(line, asked)
            line.close()

    other = get_context("fork").Process(target=main)
    other.start()
    try:
        environ = {"RUNTIME_DIRECTORY": str(folder)}
        until(lambda: running_pools(environ) and (folder / "default.sock").exists(), 10, "a holder")
        (folder / "poolq.toml").touch()
        yield Command(folder)
    finally:
        other.kill()
        other.join()


def check(done: Done) -> None:
    """It failed with one line, or what it was told or shown made some sense."""
    assert done.line if done.code else done.out or done.err.count("\n") <= 1
    assert "\x1b" not in done.out + done.err


@pytest.mark.parametrize(
    "answer",
    [
        {}, {"changed": "yes", "procs": [1], "code": "0", "rows": "x", "worker": None},
        {"paused": False, "state": "running"}, {"ok": False}, {"ok": False, "error": {"a": "x"}},
        {"ok": False, "error": "\x1b[2J"},
    ],
)  # fmt: skip
def test_an_answer_that_is_short_of_what_it_should_have(
    tmp_path: Path, answer: dict[str, object]
) -> None:
    sent = json.dumps({"v": 1, "ok": True, **answer}).encode() + b"\n"
    with hostile(tmp_path, lambda line, _: line.sendall(sent)) as poolq:
        for command in COMMANDS:
            done = poolq(*command)
            check(done)
            assert done.code or command[0] in ("health", "status")


def test_an_endless_answer_to_a_probe(tmp_path: Path) -> None:
    def serve(line: socket.socket, _: bytes) -> None:
        while True:
            line.sendall(b"x" * 65536)

    with hostile(tmp_path, serve) as poolq:
        done = poolq("health", "--live")
        assert (done.code, "pool 'default' is not live" in done.line) == (1, True)


def memory(*, sealed: bool, size: int, rows: int = ROWS) -> int:
    fd = os.memfd_create("x", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, size)
    os.pwrite(fd, rows.to_bytes(8, "little"), layout.ROWS * 8)
    if sealed:
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
    return fd


SIZE = layout.size(ROWS)


@pytest.mark.parametrize(
    ("sealed", "size", "rows"),
    [
        (False, SIZE, ROWS), (True, SIZE - 4096, ROWS), (True, 100, ROWS), (True, SIZE, 2**60),
        (True, SIZE, 0), (True, SIZE, ROWS - 1), (True, SIZE, ROWS),
    ],
)  # fmt: skip
def test_memory_that_is_truncated_or_empty(
    tmp_path: Path, *, sealed: bool, size: int, rows: int
) -> None:
    fd = memory(sealed=sealed, size=size, rows=rows)

    def serve(line: socket.socket, _: bytes) -> None:
        socket.send_fds(line, [b'{"v":1,"ok":true,"rows":%d}\n' % rows], [fd])
        if not sealed:
            os.ftruncate(fd, 0)

    with hostile(tmp_path, serve) as poolq:
        for command in (("top", "--once"), ("top", "--json"), ("log",)):
            check(poolq(*command))
    os.close(fd)


@sqlite
def test_memory_with_anything_in_it(project: Project, tmp_path: Path) -> None:
    """That of a pool, in which some words were changed."""
    pool = project.ready(ROWS)
    for _ in range(3):
        project.ledger.until("end", project.dispatch("Quick"))
    scores, _ = attach("default", {"RUNTIME_DIRECTORY": str(pool.runtime)})
    size, rows = os.fstat(scores.fd).st_size, scores.rows
    known = os.pread(scores.fd, size, 0)
    used = [at for at in range(0, size, 8) if any(known[at : at + 8]) and at != layout.ROWS * 8]
    fd, rand = memory(sealed=True, size=size, rows=rows), random.Random(7)

    def serve(line: socket.socket, _: bytes) -> None:
        changed = bytearray(known)
        for at in rand.sample(used, rand.choice((1, 10, 100, len(used) // 10))):
            if changed[at : at + 8].isascii():
                changed[at + rand.randrange(8)] = rand.choice(b'09-.ez\n\x1b"')
            else:
                word = rand.choice((0, 1, 2, 2**63, 2**64 - 1, rand.getrandbits(64)))
                changed[at : at + 8] = word.to_bytes(8, "little")
        os.pwrite(fd, changed, 0)
        socket.send_fds(line, [b'{"v":1,"ok":true,"rows":%d}\n' % rows], [fd])

    place = tmp_path / "hostile"
    place.mkdir()
    with hostile(place, serve) as poolq:
        for _ in range(5):
            for command in (("top", "--once"), ("top", "--json"), ("log",)):
                check(poolq(*command))
