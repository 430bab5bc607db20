"""Why workers end, counted (pure)."""

from poolq.master.state import Mode, Pool, Proc
from poolq.scoreboard import deaths
from poolq.scoreboard.board import KillReason, Row
from poolq.scoreboard.exit_reasons import EXIT_REASONS, UNPLANNED
from poolq.scoreboard.values import WorkerDeath
from poolq.scoreboard.worker_row import Phase


def count(pool: Pool, seq: int, row: Row, now: float) -> None:
    """A worker was reaped; called before it is forgotten."""
    proc = pool.find(seq)
    if proc is not None:
        found = cause(pool, proc, row, now)
        pool.endings[found] += 1
        if found in UNPLANNED:
            why = deaths.cause(row) if found == "crash" else EXIT_REASONS[found]
            pool.deaths.append(WorkerDeath(now, row.slot, proc.pid, why))


def cause(pool: Pool, proc: Proc, row: Row, now: float) -> str:
    """One of CAUSES."""
    if row.reason == KillReason.TIMEOUT:
        return "timeout"
    if row.reason == KillReason.MEMORY:
        return "max_memory_hard"
    if pool.mode is not Mode.RUN and (proc.told or proc.killed):
        return "stop"
    if proc.killed and not proc.ready and proc.generation < pool.generation:
        return "reload"
    if proc.killed:
        return "silent" if proc.ready else "boot"
    if row.phase == Phase.BOOT:
        return "boot"
    if row.signal or row.exit_code:
        return "crash"
    return _told(pool, proc, now) if proc.told else "left"


def _told(pool: Pool, proc: Proc, now: float) -> str:
    """Why a worker that left in peace was told to."""
    seat = next(seat for seat in pool.seats if proc in seat.procs)
    if proc.spent:
        return "max_jobs" if proc.spent.endswith("jobs") else "max_memory"
    if proc.generation != pool.generation:
        return "reload"
    if seat.closing:
        return "scale"
    return "cooldown" if now >= proc.due else "left"
