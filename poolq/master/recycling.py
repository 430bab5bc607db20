"""Decides which workers are recycled, by age, jobs or memory. `policy.py` decides when their
successors start."""

from math import inf

from poolq.master import canary
from poolq.master.state import Pool, WorkerProcess
from poolq.scoreboard.layout import NO_JOB

CODE_CHECK_TIMEOUT = 5.0  # seconds a template has to say whether the code has changed
#: A worker is recycled for its memory only if it has grown by this share of `max_memory`. A
#: worker that is large from the start would be replaced by one that is just as large.
MIN_GROWTH = 0.1


def sampled(pool: Pool, proc: WorkerProcess, rss: int, at: float) -> None:
    """Record that a worker held `rss` bytes at time `at`. If it held more than the hard limit when
    its job began, the job may let it grow further by the share MIN_GROWTH."""
    proc.rss = rss
    limit = pool.limits.max_memory_hard
    if proc.running == NO_JOB or at < proc.running_since:
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
    if proc.recycle_reason:
        return True
    if now < proc.expires_at or pool.reloading():  # the reload would replace the successor at once
        return False
    waited = now >= proc.code_asked_at + CODE_CHECK_TIMEOUT
    return pool.generation not in pool.templates or proc.code_answered or waited


def must_check_code(pool: Pool, proc: WorkerProcess) -> bool:
    """Return whether the template exists and was not yet asked for changes on behalf of `proc`."""
    asked = proc.code_answered or proc.code_asked_at < inf
    return not asked and pool.generation in pool.templates


def code_checked(pool: Pool, seq: int, changed: str) -> bool:
    """Record a template's answer: `changed` names the files that have changed, or is "". If there
    are any, reload the code before worker `seq` is replaced. Returns whether a trial begins."""
    proc = pool.find(seq)
    if proc is None:
        return False
    proc.code_answered = True
    return bool(changed) and canary.reload(pool, f"files changed: {changed}")
