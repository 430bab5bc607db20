"""Draws the progress of a pool with --until-empty, in fewer columns than any line of the log."""

from poolq.monitor import amounts
from poolq.monitor.snapshot import Snapshot
from poolq.styling.theme import Theme

MAX_WIDTH = 42
GAUGE_WIDTH = 14


def line(seen: Snapshot, served: tuple[str, ...] | None, seconds: float, theme: Theme) -> str:
    """Draw at most MAX_WIDTH characters, such as ` 62% ████████░░░░  1204 left, 1m05s`."""
    total = seen.throughput
    done = total.done.total + total.failed.total
    queues = [one for one in seen.queues if not served or one.queue in served]
    left = sum(one.ready + one.delayed + one.parked + one.running for one in queues)
    known = seen.head.age is not None and done + left > 0
    share = done / (done + left) if known else 0.0
    filled = int(share * GAUGE_WIDTH)
    gauge = theme.full * filled + theme.empty * (GAUGE_WIDTH - filled)
    facts = f"{left} left" if known else "counting"
    return f"{int(share * 100):3d}% {gauge} {facts}, {amounts.whole(int(seconds))}"[:MAX_WIDTH]
