"""The lines that a screen leaves on the terminal when it ends."""

import os
from pathlib import Path

from poolq.common.escaping import clean
from poolq.dashboard.drawing.throughput import KINDS, WORDS
from poolq.monitor import amounts
from poolq.monitor.snapshot import PoolView, Snapshot

TAIL_BYTES = 64 << 10  # bytes at the end of the log that are searched
MAX_ERRORS = 5
_ERROR_MARKS = (" error: ", '"level":"error"')


def summary(last: Snapshot | None, *, ended: bool) -> list[str]:
    """Return lines about the pool, from its last snapshot."""
    if last is None:
        return ["the pool has ended"] if ended else []
    head = last.head
    if not ended:
        return [f"pool {clean(head.pool)} keeps running (master {head.pid})"]
    totals = (f"{getattr(last.throughput, kind).total} {WORDS.get(kind, kind)}" for kind in KINDS)
    text = f"has ended after {amounts.span(head.uptime)}: {', '.join(totals)}"
    lines = [f"pool {clean(head.pool)} {text}"]
    if head.killed:
        more = head.killed - len(head.killed_jobs)
        names = ", ".join(map(clean, head.killed_jobs)) + f" and {more} more" * (more > 0)
        jobs = "1 running job was" if head.killed == 1 else f"{head.killed} running jobs were"
        lines.append(f"{jobs} killed and released: {names}")
    return lines + _log(head)


def _log(head: PoolView) -> list[str]:
    return [f"its log is {clean(head.log)}"] if head.log else []


def orphaned(last: Snapshot | None) -> list[str]:
    """Return lines about a pool whose master died while its dashboard was running."""
    if last is None:
        return ["the pool's master has died"]
    head, running = last.head, sum(bool(one.id) for one in last.workers)
    jobs = f", while {running} job{'s' * (running > 1)} ran" if running else ""
    text = "its workers finish their current jobs, then exit; start it again"
    name = f"the master of pool {clean(head.pool)} (pid {head.pid})"
    return [f"{name} has died{jobs}: {text}", *_log(head)]


def errors(path: Path, since: int) -> list[str]:
    """Return the last errors in a log after its first `since` bytes. The dashboard hid them."""
    try:
        with path.open("rb") as log:
            end = log.seek(0, os.SEEK_END)
            log.seek(max(since, end - TAIL_BYTES))
            lines = log.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return []
    found = [clean(line) for line in lines if any(sign in line for sign in _ERROR_MARKS)]
    return found[-MAX_ERRORS:]
