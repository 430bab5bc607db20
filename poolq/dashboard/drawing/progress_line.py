"""How far a pool with --until-empty is, in a line shorter than any of the log."""

from poolq.dashboard.drawing.theme import Look
from poolq.monitor.snapshot import Snapshot
from poolq.monitor.times import span

WIDTH = 42
GAUGE = 14


def line(seen: Snapshot, served: tuple[str, ...] | None, seconds: float, look: Look) -> str:
    """How far the pool is: ` 62% ████████░░░░  1204 left, 1m 5s`, at most WIDTH characters."""
    total = seen.throughput
    done = total.done.total + total.failed.total
    queues = [one for one in seen.queues if not served or one.queue in served]
    left = sum(one.ready + one.delayed + one.parked + one.running for one in queues)
    known = seen.head.age is not None and done + left > 0
    share = done / (done + left) if known else 0.0
    filled = int(share * GAUGE)
    gauge = look.full * filled + look.empty * (GAUGE - filled)
    facts = f"{left} left" if known else "looking"
    return f"{int(share * 100):3d}% {gauge} {facts}, {span(int(seconds))}"[:WIDTH]
