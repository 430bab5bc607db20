"""Proof, from this host alone, that a process is a worker of a dead pool: its shared memory.

What the engine tells of processes may have been written by anybody who reaches it, so nobody is
killed for that. A pool's memory is had by its own processes only. It names its master and keeper,
and the process of each living worker. A process's environment would prove nothing: a job's own
programs inherit it, and the title is written over it.
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
    """True if that process is this worker, and master and keeper of its pool are dead. False also
    where its memory cannot be read: it is another user's, or has closed the descriptor."""
    if not identity.is_local(worker) or identity.is_gone(worker):
        return False
    return any(_proves(fd, worker) for fd in _scoreboards(worker))


def _scoreboards(worker: Registration) -> Iterator[int]:
    """Descriptors of the memory of this worker's node, as its process has it."""
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
