"""Measures each kind of job: how many ran, how long they took, and what share of the time."""

from collections.abc import Mapping

from poolq.monitor.job_counts import add_up, quantile
from poolq.monitor.rates import SlidingWindow
from poolq.monitor.snapshot import JobKindView
from poolq.scoreboard.histogram import Cell, HistogramKey
from poolq.scoreboard.layout import DONE, OUTCOMES

UPDATE_INTERVAL = 1.0  # seconds
RATE_SPAN = 10.0  # seconds over which jobs per second are measured
MAX_KINDS = 100


class JobKinds:
    """The kinds of jobs of one pool. `views` are sorted by the time that the jobs have taken."""

    def __init__(self) -> None:
        self.views: tuple[JobKindView, ...] = ()
        self.usual: dict[str, float] = {}
        self._ended: dict[str, SlidingWindow] = {}
        self._updated_at = float("-inf")

    def update(self, cells: Mapping[HistogramKey, Cell], now: float) -> None:
        """Measure again, unless that was done less than UPDATE_INTERVAL ago."""
        if now - self._updated_at < UPDATE_INTERVAL:
            return
        self._updated_at = now
        done = add_up((key.job, cell) for key, cell in cells.items() if key.outcome == DONE)
        views = []
        self.usual = {job: quantile(cell) for job, cell in done.items()}
        counts, seconds = _sums(cells)
        whole = sum(seconds.values())
        for job in sorted(counts, key=lambda one: -seconds[one])[:MAX_KINDS]:
            ended = self._ended.setdefault(job, SlidingWindow(RATE_SPAN))
            ended.add(now, counts[job]["done"] + counts[job]["failed"])
            views.append(
                JobKindView(
                    job=job,
                    done=counts[job]["done"],
                    failed=counts[job]["failed"],
                    retried=counts[job]["retried"],
                    limited=counts[job]["limited"] + counts[job]["parked"],
                    per_second=ended.rate(),
                    usual=self.usual.get(job),
                    p95=quantile(done[job], 0.95) if job in done else None,
                    seconds=seconds[job],
                    share=seconds[job] / whole if whole else 0.0,
                )
            )
        self.views = tuple(views)


def _sums(
    cells: Mapping[HistogramKey, Cell],
) -> tuple[dict[str, dict[str, int]], dict[str, float]]:
    """Return, by job, the number of jobs of each outcome, and the seconds that they ran."""
    counts: dict[str, dict[str, int]] = {}
    seconds: dict[str, float] = {}
    for key, cell in cells.items():
        if key.outcome in OUTCOMES:
            known = counts.setdefault(key.job, dict.fromkeys(OUTCOMES.values(), 0))
            known[OUTCOMES[key.outcome]] += cell.jobs
            seconds[key.job] = seconds.get(key.job, 0.0) + cell.seconds
    return counts, seconds
