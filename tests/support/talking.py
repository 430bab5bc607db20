"""Talking to a running pool: by command, and through its socket."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from poolq.control.client import request
from poolq.dashboard.sources import AttachedSource
from poolq.monitor.snapshot import Snapshot
from tests.support.cli import Command, Done
from tests.support.pool import Pool
from tests.support.wait import patience


def poolq(pool: Pool, *args: str) -> Done:
    """A command to that pool."""
    return Command(pool.runtime, RUNTIME_DIRECTORY=str(pool.runtime))(*args)


def status(pool: Pool) -> dict[str, Any]:
    """What `poolq status --json` prints, without a process for it."""
    return request("default", {"RUNTIME_DIRECTORY": str(pool.runtime)}, "status")


@contextmanager
def attached(pool: Pool) -> Iterator[AttachedSource]:
    """What the pool shows in shared memory: of a turn of its master when that is over."""
    source = AttachedSource("default", {"RUNTIME_DIRECTORY": str(pool.runtime)})
    yield source
    source.close()


def look(source: AttachedSource) -> Snapshot:
    found = source.snapshot()
    assert found is not None
    return found


def begin(pool: Pool, *args: str) -> tuple[threading.Thread, list[Done]]:
    """The same, which waits; beside the test."""
    done: list[Done] = []
    thread = threading.Thread(target=lambda: done.append(poolq(pool, *args)))
    thread.start()
    return thread, done


def ended(begun: tuple[threading.Thread, list[Done]]) -> Done:
    begun[0].join(patience(20))
    assert begun[1], "the command has not come back"
    return begun[1][0]


def connect(pool: Pool) -> socket.socket:
    folder = os.open(pool.runtime, os.O_PATH)
    line = socket.socket(socket.AF_UNIX)
    line.connect(f"/proc/self/fd/{folder}/default.sock")
    line.settimeout(10)
    os.close(folder)
    return line


def files(pid: int) -> set[str]:
    """Of a process: files of the runtime folder, and the sockets that are bound there."""
    bound = {
        f"socket:[{words[6]}]"
        for words in map(str.split, Path("/proc/net/unix").read_text().splitlines())
        if len(words) > 7 and words[7].endswith("/default.sock")
    }
    found: set[str] = set()
    folder = Path(f"/proc/{pid}/fd")
    try:
        entries = list(folder.iterdir())
    except FileNotFoundError:
        return found  # it has ended
    for entry in entries:
        with suppress(FileNotFoundError):
            name = str(entry.readlink())
            if ".run/" in name or name in bound:
                found.add(name)
    return found
