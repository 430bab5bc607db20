"""Killing a worker because of its job, without hitting the next job.

First the worker, which still runs, writes its stack to the log; the kernel shows when that is done.
Then the worker is stopped, so that nothing can change, and its row is read again. The worker is
killed only if it still runs the same job; otherwise it is resumed.
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
    """Return the job whose `run()` or hook is running; NO_JOB if there is none."""
    return (row.request, row.started) if row.in_job or row.has_deadline else NO_JOB


def confirm_kill(
    pid: int, scores: Scoreboard, index: int, expected: RunningJob, *, heavy: bool
) -> KillReason:
    """Stop a worker, check again why to kill it, and return the reason. If there is none, because
    the worker now runs another job, or a hook with a deadline of its own, resume it and return
    NONE. `heavy`: whether the job is over the memory limit."""
    stop_process(pid)
    row = scores.read(index)
    if running_job(row) == expected:
        if row.has_deadline and monotonic() >= row.deadline / 1e9:
            return KillReason.TIMEOUT
        if heavy:
            return KillReason.MEMORY
    resume_process(pid)
    return KillReason.NONE


def confirm_job(pid: int, scores: Scoreboard, index: int, id: str) -> bool:
    """Stop a worker and check again that it runs this job. If it does, leave it stopped, to be
    killed, and return True. Otherwise resume it and return False."""
    stop_process(pid)
    if scores.read(index).in_job and scores.running_job(index)[0] == id:
        return True
    resume_process(pid)
    return False


def has_booted(pid: int, scores: Scoreboard, index: int) -> bool:
    """Stop a worker that boots too long and check again. If it has booted by now, resume it and
    return True. Otherwise leave it stopped, to be killed, and return False."""
    stop_process(pid)
    if scores.phase(index) == Phase.BOOT:
        return False
    resume_process(pid)
    return True


def has_dumped_stack(pid: int) -> bool:
    """Return True if USR2 is neither pending nor being handled, so that the stack is written."""
    bit = 1 << (signal.SIGUSR2 - 1)
    try:
        for thread in Path(f"/proc/{pid}/task").iterdir():
            for line in (thread / "status").read_text().splitlines():
                name, _, mask = line.partition(":")
                if name in ("SigPnd", "ShdPnd", "SigBlk") and int(mask, 16) & bit:
                    return False
    except OSError:
        return True  # the process or one of its threads has ended
    return True


def _is_stopped(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return True
    return stat[stat.rindex(b")") + 2 :][:1] in b"TtZX"
