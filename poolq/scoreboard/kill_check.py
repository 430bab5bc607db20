"""Killing a worker for what its job does, and never for what the next one does.

The order: the stack is written to the log while the worker runs, and the kernel shows when it is;
then the worker is stopped, so that nothing can change; then the scoreboard is read again. Only if
the worker still runs that job is it killed, otherwise it is resumed.
"""

import os
import signal
from pathlib import Path
from time import monotonic

from poolq.scoreboard.board import Row, Scoreboard
from poolq.scoreboard.layout import NO_JOB, KillReason, Phase, RunningJob

SIGSTOP_TIMEOUT = 0.02
_PAUSE = 0.0005


def stop_process(pid: int) -> None:
    """Stop the process and wait shortly until it has stopped. A process in an uninterruptible call
    does not stop, but it does not start another job either."""
    os.kill(pid, signal.SIGSTOP)
    deadline = monotonic() + SIGSTOP_TIMEOUT
    while monotonic() < deadline and not _is_stopped(pid):
        signal.sigtimedwait([], _PAUSE)


def resume_process(pid: int) -> None:
    """Resume a stopped process."""
    os.kill(pid, signal.SIGCONT)


def running_job(row: Row) -> RunningJob:
    """The job whose user code runs, including its hooks."""
    return (row.request, row.started) if row.in_job or row.has_deadline else NO_JOB


def confirm_kill(
    pid: int, scores: Scoreboard, index: int, expected: RunningJob, *, heavy: bool
) -> KillReason:
    """Stop a worker and check again why it is to be killed. NONE: it is resumed, as it runs another
    job by now, or that job's hook, which has a deadline of its own."""
    stop_process(pid)
    row = scores.read(index)
    if running_job(row) == expected:
        if row.has_deadline and monotonic() >= row.deadline / 1e9:
            return KillReason.TIMEOUT
        if heavy:
            return KillReason.MEMORY
    resume_process(pid)
    return KillReason.NONE


def has_booted(pid: int, scores: Scoreboard, index: int) -> bool:
    """Check again a worker that is to be killed because it boots too long: if it no longer boots it
    is resumed, otherwise it stays stopped."""
    stop_process(pid)
    if scores.phase(index) == Phase.BOOT:
        return False
    resume_process(pid)
    return True


def has_dumped_stack(pid: int) -> bool:
    """True if USR2 is neither pending in a thread nor being handled, which writes the stack."""
    bit = 1 << (signal.SIGUSR2 - 1)
    try:
        for thread in Path(f"/proc/{pid}/task").iterdir():
            for line in (thread / "status").read_text().splitlines():
                name, _, mask = line.partition(":")
                if name in ("SigPnd", "ShdPnd", "SigBlk") and int(mask, 16) & bit:
                    return False
    except OSError:
        return True  # it has ended, or one of its threads has
    return True


def _is_stopped(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return True
    return stat[stat.rindex(b")") + 2 :][:1] in b"TtZX"
