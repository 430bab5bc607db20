"""Decides which workers are recycled, by age, jobs or memory. `policy.py` decides when their
successors start."""

from poolq.master.state import Pool, WorkerProcess
from poolq.scoreboard.layout import NO_JOB

#: A worker is recycled for its memory only if it has grown by this share of `max_memory`. A
#: worker that is large from the start would be replaced by one that is just as large.
MIN_GROWTH = 0.1


def sampled(pool: Pool, proc: WorkerProcess, rss: int, sampled_at: float) -> None:
    """Record that a worker held `rss` bytes at `sampled_at`. If it held more than the hard limit
    when its job began, the job may let it grow further by the share MIN_GROWTH."""
    proc.rss = rss
    limit = pool.limits.max_memory_hard
    if proc.running == NO_JOB or sampled_at < proc.running_since:
        proc.over_limit = False
        return
    allowed = proc.rss_at_start * (1 + MIN_GROWTH) if proc.rss_at_start > limit else limit
    proc.over_limit = limit > 0 and rss > allowed


def check_limits(pool: Pool, proc: WorkerProcess) -> str:
    """Return why a worker must be replaced, such as "it has run 12 jobs (--max-jobs)", or ""."""
    limits = pool.limits
    growth = proc.rss - proc.initial_rss
    if limits.max_jobs and proc.jobs >= limits.max_jobs:
        proc.recycle_reason = f"it has run {proc.jobs} jobs (--max-jobs)"
    too_big = limits.max_memory and proc.rss > limits.max_memory
    if too_big and growth > limits.max_memory * MIN_GROWTH:
        proc.recycle_reason = f"it holds {proc.rss >> 20} MiB (--max-memory)"
    if limits.max_memory_hard and proc.rss > limits.max_memory_hard:  # its next job would be killed
        proc.recycle_reason = f"it holds {proc.rss >> 20} MiB (--max-memory-hard)"
    return proc.recycle_reason


def must_recycle(pool: Pool, proc: WorkerProcess, now: float) -> bool:
    """Return whether a worker must be replaced now. During a reload, no cooldown counts."""
    return bool(proc.recycle_reason) or (now >= proc.expires_at and not pool.reloading())
