"""Proves, from this host alone, that a process is a worker of a dead pool: by its shared memory.

Anybody who reaches the engine may have written what it says of processes, so nothing is killed
because of that. But a pool's memory is open in its own processes only, and it names the master, the
keeper and each living worker. The environment would prove nothing: the programs that a job starts
inherit it, and the process title overwrites it.
"""

import os
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

from poolq.engines.base import Registration
from poolq.scoreboard import board, layout
from poolq.scoreboard.board import Scoreboard
from poolq.scoreboard.layout import RowStatus
from poolq.system import identity
from poolq.system.identity import worker_name


def is_abandoned(worker: Registration) -> bool:
    """True if the process is this worker, and master and keeper of its pool are dead. False also if
    its memory cannot be read: it is another user's, or has closed the descriptor."""
    if not identity.is_local(worker) or identity.is_gone(worker):
        return False
    return any(_proves(fd, worker) for fd in _scoreboards(worker))


def _scoreboards(worker: Registration) -> Iterator[int]:
    """Descriptors of the scoreboard of this worker's node, opened through its process."""
    name = f"/memfd:{board.name_of(worker.node)} (deleted)"
    with suppress(OSError):
        for entry in Path(f"/proc/{worker.pid}/fd").iterdir():
            with suppress(OSError):
                if str(entry.readlink()) == name:
                    yield os.open(entry, os.O_RDONLY | os.O_CLOEXEC)


def _proves(fd: int, worker: Registration) -> bool:
    rows = board.rows_of(fd)
    if not rows:
        os.close(fd)
        return False
    with closing(Scoreboard(rows, fd, readonly=True)) as scores:
        heads = (
            (layout.MASTER_PID, layout.MASTER_STARTED),
            (layout.KEEPER_PID, layout.KEEPER_STARTED),
        )
        if any(identity.start_time(scores.word(pid)) == scores.word(at) for pid, at in heads):
            return False
        return any(
            row.status == RowStatus.LIVE
            and row.pid == worker.pid
            and worker_name(worker.node, row.seq) == worker.worker
            for row in scores.used_rows()
        )
