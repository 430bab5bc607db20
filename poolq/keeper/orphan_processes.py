"""Looks after workers whose master is dead, as only a keeper can then enforce their deadlines.

- If only the master is dead, the pool's own keeper does the master's work. It finds out which
  workers have died, and ends the subprocesses of their jobs. It kills a worker that overruns its
  deadline, after the worker's stack was logged; the job's attempt counts. If the master died while
  it was killing a worker, the keeper kills this worker. If the master died while it was checking a
  stopped worker, the keeper resumes this worker.
- If the keeper is dead, too, the logger ends the subprocesses, because it exits last.
- When the keeper of another pool on this host releases the dead pool's jobs, it kills the processes
  that are proved to be workers of the dead pool, since nobody else would end a hanging one. It logs
  other processes and leaves them alone.
- The proof is the pool's shared memory. Only the pool's own processes have it open, and it names
  the master, the keeper and each living worker. The engine's records prove nothing, as anybody who
  reaches the engine can write them. Nor does the environment of a process: programs that a job
  starts inherit it, and the process title overwrites it.
"""

import os
import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, suppress
from math import inf
from pathlib import Path
from time import monotonic

from poolq.engines.base import Registration
from poolq.scoreboard import board, kill_check, layout
from poolq.scoreboard.board import Row, Scoreboard
from poolq.scoreboard.layout import KillReason, Phase, RowStatus, RunningJob
from poolq.scoreboard.timeouts import DUMP_TIMEOUT
from poolq.system import identity
from poolq.system.identity import worker_name
from poolq.system.kill import end_group, has_members, kill_group, send


class Orphans:
    """The workers of a pool whose master is dead. `warn` logs a warning."""

    def __init__(self, scores: Scoreboard, warn: Callable[[str], None]) -> None:
        self._scores = scores
        self._warn = warn
        self._dumped: dict[tuple[int, RunningJob], float] = {}
        self._resumed: set[int] = set()  # the seqs of workers that the master may have stopped
        self._resumed_at = -inf
        self._suspend_credit = 0.0

    def suspended(self, seconds: float) -> None:
        """Move the workers' deadlines by the `seconds` for which the keeper was suspended."""
        self._resumed_at = monotonic()
        self._suspend_credit += seconds

    def check(self) -> None:
        """Mark dead workers in the scoreboard, and kill those that overrun their deadline, or that
        the master was killing. Resume each of the others once."""
        for row in self._scores.used_rows():
            if row.status != RowStatus.LIVE:
                continue
            if not row.pid or identity.start_time(row.pid) is None:
                if row.phase == Phase.BUSY:
                    end_group(row.pid, os.getsid(0))
                self._scores.set_dead(row.index, 0, layout.EXIT_UNKNOWN)
            elif row.kill_reason != KillReason.NONE:
                kill_group(row.pid)
            elif row.seq not in self._resumed:
                self._resumed.add(row.seq)
                send(row.pid, signal.SIGCONT)
            elif kill_check.grace_is_over(row):
                self._kill(row)
            elif row.has_deadline and self._overdue(row) >= 0:
                self._overran(row)

    def _overdue(self, row: Row) -> float:
        credit = self._suspend_credit if row.since / 1e9 < self._resumed_at else 0.0
        return monotonic() - row.deadline / 1e9 - credit

    def _overran(self, row: Row) -> None:
        """Make a worker dump its stack. After that, kill it if it still runs the same job."""
        running = row.seq, kill_check.running_job(row)
        asked = self._dumped.get(running)
        if asked is None:
            self._dumped[running] = monotonic()
            send(row.pid, signal.SIGUSR2)
        elif kill_check.has_dumped_stack(row.pid) or monotonic() >= asked + DUMP_TIMEOUT:
            del self._dumped[running]
            self._kill(row, dumped=True)

    def _kill(self, row: Row, *, dumped: bool = False) -> None:
        """Kill a worker if it still runs this job and its grace (if `dumped`: deadline) is over."""

        def judge(now: Row) -> KillReason:
            if kill_check.grace_is_over(now):
                return KillReason.CANCELLED
            late = dumped and now.has_deadline and self._overdue(now) >= 0
            return KillReason.TIMEOUT if late else KillReason.NONE

        if killed := kill_check.kill_worker(self._scores, row, kill_check.running_job(row), judge):
            self._warn(f"the keeper acts, as the master is dead: {killed}")


def left_behind(worker: Registration, session: int) -> bool:
    """Return whether the worker is gone, but seems to have left a process that one of its jobs has
    started. The engine's records suggest this, but do not prove it."""
    return identity.start_time(worker.pid) is None and has_members(worker.pid, session)


def end_abandoned(workers: Iterable[Registration]) -> tuple[list[Registration], list[Registration]]:
    """Kill those workers that still run here and are proved to be abandoned, with their
    subprocesses. Returns the killed workers, and those that were spared for lack of proof. (The
    memory of another user's workers cannot be read, for example.)"""
    ended, doubtful = [], []
    for worker in workers:
        if not identity.is_local(worker) or identity.is_gone(worker):
            continue
        if any(_proves(fd, worker) for fd in _scoreboards(worker)):
            kill_group(worker.pid)
            ended.append(worker)
        else:
            doubtful.append(worker)
    return ended, doubtful


def _scoreboards(worker: Registration) -> Iterator[int]:
    """Open the scoreboard of this worker's node through its process, and yield the descriptors."""
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
        master = layout.MASTER_PID, layout.MASTER_STARTED
        heads = (master, (layout.KEEPER_PID, layout.KEEPER_STARTED))
        if any(
            identity.start_time(scores.word(pid)) == scores.word(started) for pid, started in heads
        ):
            return False
        return any(
            row.status == RowStatus.LIVE
            and row.pid == worker.pid
            and worker_name(worker.node, row.seq) == worker.worker
            for row in scores.used_rows()
        )
