"""Killing a worker for what its job does, and never for what the next one does.

The order: its stack goes to the log while it runs, and the kernel shows when that is written; then
it is stopped, so that nothing can change;
then the scoreboard is read again. Only if it still runs that job is it killed, else it goes on.
"""

import os
import signal
from pathlib import Path
from time import monotonic

from poolq.scoreboard.board import Row, Scoreboard
from poolq.scoreboard.layout import NO_JOB, KillReason, Phase, RunningJob

STOP_TIMEOUT = 0.02
_PAUSE = 0.0005


def hold(pid: int) -> None:
    """Stop the process and wait, shortly, until it stands still.

    One in an uninterruptible call does not stop, but does not go on to another job either.
    """
    os.kill(pid, signal.SIGSTOP)
    deadline = monotonic() + STOP_TIMEOUT
    while monotonic() < deadline and not _stands(pid):
        signal.sigtimedwait([], _PAUSE)


def go_on(pid: int) -> None:
    """Let a held process run again."""
    os.kill(pid, signal.SIGCONT)


def running(row: Row) -> RunningJob:
    """Which job's user code runs, hooks included."""
    return (row.request, row.started) if row.in_job or row.has_deadline else NO_JOB


def verdict(
    pid: int, scores: Scoreboard, index: int, accused: RunningJob, *, heavy: bool
) -> KillReason:
    """Hold a worker and look again why it is to be killed. NONE: it goes on, as it runs another job
    by now, or that job's hook, which has a deadline of its own."""
    hold(pid)
    row = scores.read(index)
    if running(row) == accused:
        if row.has_deadline and monotonic() >= row.deadline / 1e9:
            return KillReason.TIMEOUT
        if heavy:
            return KillReason.MEMORY
    go_on(pid)
    return KillReason.NONE


def has_come_up(pid: int, scores: Scoreboard, index: int) -> bool:
    """Look again at a worker that is to be killed because it boots: one that does not any more
    goes on, one that does is held."""
    hold(pid)
    if scores.phase(index) == Phase.BOOT:
        return False
    go_on(pid)
    return True


def has_dumped(pid: int) -> bool:
    """True if no thread has USR2 before it, or is in its handler, which writes the stack."""
    bit = 1 << (signal.SIGUSR2 - 1)
    try:
        for thread in Path(f"/proc/{pid}/task").iterdir():
            for line in (thread / "status").read_text().splitlines():
                name, _, mask = line.partition(":")
                if name in ("SigPnd", "ShdPnd", "SigBlk") and int(mask, 16) & bit:
                    return False
    except OSError:
        return True  # it has ended, or one of its threads just now
    return True


def _stands(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return True
    return stat[stat.rindex(b")") + 2 :][:1] in b"TtZX"
