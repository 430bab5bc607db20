"""Adds up what all workers of a pool, dead ones included, have counted in their rows' notes. The
keeper records the totals of the last five minutes, one sample a second. For each kind of job, this
module measures how many ran, how long they took, and their share of the time of all jobs.
"""

from array import array
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping
from operator import add
from time import monotonic
from typing import TypeVar

from poolq.monitor.rates import Sample, SlidingWindow
from poolq.monitor.snapshot import JobKindView
from poolq.scoreboard.board import Scoreboard
from poolq.scoreboard.histogram import BOUNDS, Cell, HistogramKey, HistogramReader
from poolq.scoreboard.layout import DONE, OUTCOMES
from poolq.scoreboard.notes import read_held

K = TypeVar("K", bound=Hashable)

MAX_SAMPLES = 305
UPDATE_INTERVAL = 1.0  # seconds
RATE_SPAN = 10.0  # seconds over which jobs per second are measured
MAX_KINDS = 100
_FIELDS = len(Sample._fields)


class JobCounts:
    """The counts of one pool. Reading a row in which nothing was ever counted is cheap."""

    def __init__(self, scores: Scoreboard) -> None:
        self._scores = scores
        self._taken = scores.pages.kinds_counted()
        self._readers: dict[int, HistogramReader] = {}

    def cells(self) -> dict[HistogramKey, Cell]:
        """The counts by outcome, queue and job."""
        return add_up(pair for _, reader in self._used() for pair in reader.read())

    def held_by_limit(self) -> dict[str, int]:
        """Return how many jobs were held back, by limit key; workers keep only the latest keys."""
        held = Counter[str]()
        for index, _ in self._used():
            page = self._scores.pages.notes(index).held
            if page.version:
                held.update(read_held(page))
        return dict(held)

    def _used(self) -> Iterator[tuple[int, HistogramReader]]:
        for index in range(self._scores.rows):
            reader = self._readers.get(index)
            if reader is None and self._taken[index]:
                places = self._scores.pages.notes(index)
                reader = self._readers[index] = HistogramReader(places.histogram)
            if reader is not None:
                yield index, reader


def add_up(cells: Iterable[tuple[K, Cell]]) -> dict[K, Cell]:
    """Add up the cells that have the same key."""
    sums: dict[K, Cell] = {}
    for key, cell in cells:
        if (total := sums.get(key)) is not None:
            buckets = tuple(map(add, total.buckets, cell.buckets))
            cell = Cell(buckets, total.seconds + cell.seconds)  # noqa: PLW2901  # their sum
        sums[key] = cell
    return sums


def sample(cells: dict[HistogramKey, Cell], moment: float) -> Sample:
    """Sum the cells into the totals of a sample."""
    totals = [0] * len(OUTCOMES)
    for key, cell in cells.items():
        if key.outcome in OUTCOMES:
            totals[key.outcome - DONE] += cell.jobs
    done, failed, retried, limited, parked, *_ = totals
    return Sample(moment, done, failed, retried, limited + parked)


def quantile(cell: Cell, part: float = 0.5) -> float:
    """Return the seconds that the fastest `part` of the jobs took at most, as exactly as the
    buckets allow; 0.0 if no job ran. By default, this is the median."""
    wanted, below, lower = cell.jobs * part, 0, 0.0
    for bound, jobs in zip(BOUNDS, cell.buckets, strict=False):
        if jobs and below + jobs >= wanted:
            return lower + (bound - lower) * (wanted - below) / jobs
        below, lower = below + jobs, bound
    return lower if below < cell.jobs else 0.0


class SampleRecorder:
    """Records samples for the keeper. A new keeper continues its predecessor's samples."""

    def __init__(self, scores: Scoreboard) -> None:
        self._counts = JobCounts(scores)
        self._page = scores.pages.samples
        self._samples = read_samples(self._page.read())

    def record(self) -> None:
        """Take a sample unless the last one is younger than a second."""
        now = monotonic()
        if self._samples and now - self._samples[-1].at < 1.0:
            return
        self._samples = [*self._samples[1 - MAX_SAMPLES :], sample(self._counts.cells(), now)]
        self._page.write(
            array("d", [value for recorded in self._samples for value in recorded]).tobytes()
        )


def read_samples(data: bytes) -> list[Sample]:
    """Return the recorded samples, the oldest first."""
    values = array("d", data).tolist()
    return [Sample(*values[start : start + _FIELDS]) for start in range(0, len(values), _FIELDS)]


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
        total = sum(seconds.values())
        views = []
        for job in sorted(seconds, key=lambda kind: -seconds[kind])[:MAX_KINDS]:
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
                    share=seconds[job] / total if total else 0.0,
                )
            )
        self.views = tuple(views)
