"""Killing a worker because of its job, without hitting the next job.

First the worker writes its stack to the log while it runs, and the kernel shows when that is done.
Then it is stopped, so that nothing can change, and its row is read again. It is killed only if it
still runs that job, otherwise it is resumed.
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
    """Stop the process and wait briefly until it has stopped. A process in an uninterruptible call
    does not stop, but it does not start another job either."""
    os.kill(pid, signal.SIGSTOP)
    deadline = monotonic() + SIGSTOP_TIMEOUT
    while monotonic() < deadline and not _is_stopped(pid):
        signal.sigtimedwait([], _PAUSE)


def resume_process(pid: int) -> None:
    os.kill(pid, signal.SIGCONT)


def running_job(row: Row) -> RunningJob:
    """Return the job whose user code runs, including its hooks."""
    return (row.request, row.started) if row.in_job or row.has_deadline else NO_JOB


def confirm_kill(
    pid: int, scores: Scoreboard, index: int, expected: RunningJob, *, heavy: bool
) -> KillReason:
    """Stop a worker and check again why to kill it; return the reason. If it runs another job by
    now, or a hook, which has its own deadline, resume it and return NONE. `heavy`: whether the job
    is over the memory limit."""
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
    """Stop a worker that boots too long and check again. If it no longer boots, resume it and
    return True; otherwise it stays stopped, to be killed."""
    stop_process(pid)
    if scores.phase(index) == Phase.BOOT:
        return False
    resume_process(pid)
    return True


def has_dumped_stack(pid: int) -> bool:
    """Return whether USR2, whose handler writes the stack, is neither pending nor being handled."""
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
