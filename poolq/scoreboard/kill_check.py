"""Killing a worker because of its job, without hitting the next job.

The master and the keeper use this module if they kill a worker because of its job: at a person's
request, at a deadline, because of its memory, or when the grace of a cancelled job is over. The
worker is stopped, so that nothing can change, and its scoreboard row is read again. The worker is
killed only if it still runs the same claim and there still is a reason; otherwise it is resumed.
The reason and the claim are recorded before the kill, so both are known when the worker is found
dead (see `deaths.py`).

Before a worker is killed for a deadline or for memory, it writes its stack to the log while it
still runs. `has_dumped_stack` learns from the kernel when that is done.
"""

import signal
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import NamedTuple

from poolq.scoreboard.board import Row, Scoreboard
from poolq.scoreboard.layout import NO_JOB, KillReason, Phase, RunningJob
from poolq.system import identity
from poolq.system.kill import kill_group, send

STOP_TIMEOUT = 0.5  # seconds; on an idle machine, a process stops within microseconds
_PAUSE = 0.0005
#: States in which a process runs none of its code: stopped, dead, or in an uninterruptible call,
#: after which it stops.
_STILL = b"tTZXD"


class KilledJob(NamedTuple):
    """A job whose worker was killed. `str()` is a sentence for the log. `row`: the worker's row."""

    row: Row
    reason: KillReason
    id: str
    job: str

    def __str__(self) -> str:
        row = self.row
        worker = f"worker {row.slot} (pid {row.pid})"
        match self.reason:
            case KillReason.TIMEOUT:
                late = monotonic() - row.deadline / 1e9
                why = f"overran its {row.timeout / 1e6:g} s by {late:.1f} s"
            case KillReason.MEMORY:
                why = f"holds {row.rss >> 20} MiB, over --max-memory-hard"
            case _:
                end = "cancelled" if self.reason == KillReason.CANCELLED else "given back"
                return f"{worker} killed; its job {self.job} {self.id} is {end}"
        return f"{worker} {why}; killed; job {self.job} {self.id}"


def kill_worker(
    scores: Scoreboard, row: Row, running: RunningJob, judge: Callable[[Row], KillReason]
) -> KilledJob | None:
    """Stop the worker of this row. If it still runs this claim, and `judge` finds a reason in the
    row as it is now, kill it and return what was killed. Otherwise resume it and return None."""
    if _stop(row.pid):
        now = scores.read(row.index)
        unchanged = now.seq == row.seq and running_job(now) == running != NO_JOB
        if unchanged and (reason := judge(now)):
            id, _, job = scores.running_job(now.index)
            scores.set_kill_reason(now, reason)
            kill_group(now.pid)
            return KilledJob(now, reason, id, job)
    send(row.pid, signal.SIGCONT)
    return None


def grace_is_over(row: Row) -> bool:
    """Return whether the running job is cancelled and has not ended within its grace."""
    return row.is_job_cancelled and monotonic() >= row.cancel_due / 1e9


def running_job(row: Row) -> RunningJob:
    """Return the job whose `run()` or hook is running; NO_JOB if there is none."""
    return (row.request, row.started) if row.in_job or row.has_deadline else NO_JOB


def still_boots(pid: int, scores: Scoreboard, index: int) -> bool:
    """Stop a worker that boots too long and check again. If it still boots, leave it stopped, to be
    killed, and return True. Otherwise resume it and return False."""
    if _stop(pid) and scores.phase(index) == Phase.BOOT:
        return True
    send(pid, signal.SIGCONT)
    return False


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


def _stop(pid: int) -> bool:
    """Stop a process, and wait until it runs none of its code. Return False if it may still run."""
    send(pid, signal.SIGSTOP)
    deadline = monotonic() + STOP_TIMEOUT
    while not (still := identity.state(pid) in _STILL) and monotonic() < deadline:
        signal.sigtimedwait([], _PAUSE)
    return still
