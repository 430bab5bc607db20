"""Measures each kind of job: how many ran, how long they took, and what share of the time."""

from collections import Counter, defaultdict
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
        self.usual = {job: quantile(cell) for job, cell in done.items()}
        seconds: dict[str, float] = defaultdict(float)
        count: Counter[tuple[str, str]] = Counter()  # by job and outcome
        for key, cell in cells.items():
            if key.outcome in OUTCOMES:
                seconds[key.job] += cell.seconds
                count[key.job, OUTCOMES[key.outcome]] += cell.jobs
        whole = sum(seconds.values())
        views = []
        for job in sorted(seconds, key=lambda one: -seconds[one])[:MAX_KINDS]:
            ended = self._ended.setdefault(job, SlidingWindow(RATE_SPAN))
            ended.add(now, count[job, "done"] + count[job, "failed"])
            views.append(
                JobKindView(
                    job=job,
                    done=count[job, "done"],
                    failed=count[job, "failed"],
                    retried=count[job, "retried"],
                    limited=count[job, "limited"] + count[job, "parked"],
                    per_second=ended.rate(),
                    usual=self.usual.get(job),
                    p95=quantile(done[job], 0.95) if job in done else None,
                    seconds=seconds[job],
                    share=seconds[job] / whole if whole else 0.0,
                )
            )
        self.views = tuple(views)
