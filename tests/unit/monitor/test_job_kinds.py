"""What takes the most time, what is slow and what fails."""

from __future__ import annotations

from poolq.monitor.job_counts import JobKinds
from poolq.scoreboard.histogram import BUCKETS, WAIT, Cell, HistogramKey
from poolq.scoreboard.layout import DONE, FAILED, LIMITED, PARKED, RETRIED


def cell(bucket: int, jobs: int, seconds: float) -> Cell:
    buckets = [0] * BUCKETS
    buckets[bucket] = jobs
    return Cell(tuple(buckets), seconds)


def cells(more: int = 0) -> dict[HistogramKey, Cell]:
    return {
        HistogramKey(DONE, "default", "a:Short"): cell(1, 80 + more, 0.2),
        HistogramKey(DONE, "high", "a:Short"): cell(1, 20, 0.05),
        HistogramKey(WAIT, "high", "a:Short"): cell(9, 20, 900.0),
        HistogramKey(LIMITED, "high", "a:Short"): cell(0, 3, 0.0),
        HistogramKey(PARKED, "high", "a:Short"): cell(0, 4, 0.0),
        HistogramKey(DONE, "default", "a:Long"): cell(12, 10, 200.0),
        HistogramKey(FAILED, "default", "a:Long"): cell(12, 1, 25.0),
        HistogramKey(RETRIED, "default", "a:Long"): cell(12, 2, 25.0),
        HistogramKey(FAILED, "default", "a:Broken"): cell(0, 5, 0.0),
    }


def test_the_kind_that_takes_the_most_time_comes_first() -> None:
    kinds = JobKinds()
    kinds.update(cells(), 100.0)
    assert [one.job for one in kinds.views] == ["a:Long", "a:Short", "a:Broken"]
    long, short, broken = kinds.views
    assert (long.done, long.failed, long.retried, long.seconds) == (10, 1, 2, 250.0)
    assert (short.done, short.limited, short.seconds) == (100, 7, 0.25)
    assert abs(long.share - 250 / 250.25) < 1e-9
    assert long.usual is not None
    assert long.p95 is not None
    assert 10.0 < long.usual < long.p95 < 30.0
    assert kinds.usual == {"a:Long": long.usual, "a:Short": short.usual}
    assert (broken.usual, broken.p95, broken.failed) == (None, None, 5)


def test_jobs_per_second_are_measured_once_a_second() -> None:
    kinds = JobKinds()
    kinds.update(cells(), 100.0)
    first = kinds.views
    kinds.update(cells(more=50), 100.5)
    assert kinds.views is first
    kinds.update(cells(more=50), 105.0)
    assert {one.job: one.per_second for one in kinds.views} == {
        "a:Long": 0.0, "a:Short": 10.0, "a:Broken": 0.0,
    }  # fmt: skip
