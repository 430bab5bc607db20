"""Counts the exits of workers by reason."""

from poolq.master.state import Mode, Pool, WorkerProcess
from poolq.scoreboard.board import Row
from poolq.scoreboard.layout import KillReason, Phase


def count(pool: Pool, seq: int, row: Row, now: float) -> str:
    """Count the exit of a reaped worker and return its reason, one of EXIT_REASONS. To be called
    before the worker is removed from `pool`."""
    proc = pool.find(seq)
    if proc is None:
        return ""
    cause = reason(pool, proc, row, now)
    pool.exit_counts[cause] += 1
    return cause


def reason(pool: Pool, proc: WorkerProcess, row: Row, now: float) -> str:
    """Return why a worker has exited, as one of EXIT_REASONS."""
    if row.kill_reason == KillReason.TIMEOUT:
        return "timeout"
    if row.kill_reason == KillReason.MEMORY:
        return "max_memory_hard"
    if row.kill_reason in (KillReason.CANCELLED, KillReason.RETURNED):
        return "request"
    if pool.mode is not Mode.RUN and not proc.serving:
        return "stop"
    if proc.killed and not proc.ready and proc.generation < pool.generation:
        return "reload"
    if proc.killed:
        return "silent" if proc.ready else "boot"
    if row.phase == Phase.BOOT:
        return "boot"
    if row.signal or row.exit_code:
        return "crash"
    return "left" if proc.serving else _stop_reason(pool, proc, now)


def _stop_reason(pool: Pool, proc: WorkerProcess, now: float) -> str:
    slot = next(slot for slot in pool.slots if proc in slot.procs)
    if proc.recycle_reason:
        return "max_jobs" if " jobs" in proc.recycle_reason else "max_memory"
    if proc.generation != pool.generation:
        return "reload"
    if slot.closing:
        return "scale"
    return "cooldown" if now >= proc.expires_at else "left"
