"""The last words of a screen, on the terminal that it has given back."""

import os
from pathlib import Path

from poolq.dashboard.drawing.cells import clean
from poolq.monitor import amounts
from poolq.monitor.snapshot import Snapshot

KINDS = ("done", "failed", "retried", "limited")
TAIL = 64 << 10  # bytes of a log that are looked through
MOST = 5
_SIGNS = (" error: ", '"level":"error"')


def summary(last: Snapshot | None, *, ended: bool) -> list[str]:
    """Lines about the pool as it was seen last."""
    if last is None:
        return ["the pool has ended"] if ended else []
    head = last.head
    name = clean(head.pool)
    if not ended:
        return [f"pool {name} runs on (master {head.pid})"]
    totals = (f"{getattr(last.throughput, kind).total} {kind}" for kind in KINDS)
    text = ", ".join(totals).replace("limited", "rate-limited")
    lines = [f"pool {name} has ended after {amounts.span(head.uptime)}: {text}"]
    if head.log:
        lines.append(f"its log is {clean(head.log)}")
    return lines


def orphaned(last: Snapshot | None) -> list[str]:
    """Lines about a pool whose master was killed under its dashboard."""
    if last is None:
        return ["the pool's master has died"]
    head = last.head
    text = "its workers finish what they run, and leave; start it again"
    lines = [f"the master of pool {clean(head.pool)} (pid {head.pid}) has died: {text}"]
    return [*lines, f"its log is {clean(head.log)}"] if head.log else lines


def errors(path: Path, since: int) -> list[str]:
    """The last errors of a log that has grown since it had so many bytes; for a pool that has ended
    with one, and whose log nobody has seen."""
    try:
        with path.open("rb") as log:
            end = log.seek(0, os.SEEK_END)
            log.seek(max(since, end - TAIL))
            lines = log.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return []
    return [clean(line) for line in lines if any(sign in line for sign in _SIGNS)][-MOST:]
