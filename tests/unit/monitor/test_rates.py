"""Rates and durations from numbers that are read at irregular times."""

from __future__ import annotations

import pytest

from poolq.monitor.job_counts import quantile, sample
from poolq.monitor.prometheus import buckets
from poolq.monitor.rates import Sample, SlidingWindow, per_second, spark, trend
from poolq.scoreboard.histogram import BUCKETS, Cell, HistogramKey
from poolq.scoreboard.layout import DONE, FAILED, LIMITED, PARKED, RETRIED


def cell(*jobs: int, seconds: float = 0.0) -> Cell:
    return Cell((*jobs, *[0] * (BUCKETS - len(jobs))), seconds)


def steady(seconds: int, pace: float = 10.0) -> list[Sample]:
    """`pace` jobs done a second, read once a second."""
    return [Sample(float(at), at * pace, 0, 0, 0) for at in range(seconds)]


# trends


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ([5.0] * 5, None),
        ([0, 10, 20, 30, 40, 50], 5.0),
        ([50, 44, 40, 31, 30, 20], -3.0),
        ([0, 0, 0, 0, 0, 1000], 0.0),
        ([0, 0, 300, 600, 1000, 1000], 0.0),
        ([0, 10, 20, 30, 40, 39], 0.0),
    ],
    ids=["too few", "grows", "shrinks", "one batch", "one slow batch", "falls again"],
)
def test_a_trend_has_held_for_as_long_as_it_claims(
    values: list[float], found: float | None
) -> None:
    assert trend(values, 2.0) == found


def test_a_rate_is_of_its_span() -> None:
    trend = SlidingWindow(10)
    for second in range(100):
        trend.add(second, 0 if second < 90 else (second - 89) * 7)
    assert trend.rate() == 7
    assert len(trend.values(1.0)) == 10


def test_values_are_told_at_equal_steps_however_often_it_was_looked_at() -> None:
    trend = SlidingWindow(60)
    trend.add(0, 5)
    assert trend.values(2.0) == [5]
    for second, value in ((2.0, 6), (3, 7), (10, 8)):
        trend.add(second, value)
    assert trend.values(2.0) == [5, 6, 7, 7, 7, 8]
    for second in range(12, 200, 7):
        trend.add(second, second)
    assert len(trend.values(2.0)) == 30


# samples


@pytest.mark.parametrize("span", [3, 60, 300])
def test_jobs_a_second_over_a_span_or_what_is_known(span: float) -> None:
    assert per_second(steady(100), Sample(100.5, 1005, 0, 0, 0), 1, span) == 10
    assert per_second(steady(1), Sample(0.0, 0, 0, 0, 0), 1, span) == 0
    assert per_second([], Sample(0.0, 7, 0, 0, 0), 1, span) == 0


def test_a_spark_has_a_value_a_second() -> None:
    assert spark(steady(100), 1, 60) == (10.0,) * 60
    assert spark(steady(3), 1, 60) == (10.0, 10.0)
    assert spark(steady(1), 1, 60) == ()
    assert spark([Sample(0, 9, 0, 0, 0), Sample(1, 3, 0, 0, 0)], 1, 60) == (0.0,)


def test_a_spark_is_true_to_time_though_samples_come_late() -> None:
    late = [Sample(at * 1.5, at * 15.0, 0, 0, 0) for at in range(100)]
    found = spark(late, 1, 60)
    assert len(found) == 60
    assert all(one == pytest.approx(10.0) for one in found)
    burst = [Sample(0, 0, 0, 0, 0), Sample(1.5, 30, 0, 0, 0), Sample(3.0, 30, 0, 0, 0)]
    assert spark(burst, 1, 60) == pytest.approx((20.0, 10.0, 0.0))


# cells


def test_totals_are_sums_over_queues_and_jobs() -> None:
    cells = {
        HistogramKey(DONE, "q", "a"): cell(1, 2),
        HistogramKey(DONE, "p", "b"): cell(0, 0, 4),
        HistogramKey(FAILED, "q", "a"): cell(1),
        HistogramKey(RETRIED, "q", "a"): cell(2),
        HistogramKey(LIMITED, "q", "a"): cell(3),
        HistogramKey(PARKED, "q", "a"): cell(4),
        HistogramKey(99, "q", "a"): cell(500),
    }
    assert sample(cells, 5.0) == Sample(5.0, 7, 1, 2, 7)


def test_the_quantile_lies_in_its_bucket() -> None:
    assert quantile(cell()) == 0.0
    assert quantile(cell(10)) == 0.0005
    assert 0.001 < quantile(cell(1, 8, 1)) < 0.005
    assert quantile(Cell((0,) * (BUCKETS - 1) + (5,), 9999.0)) == 300.0


def test_buckets_of_prometheus_hold_those_below() -> None:
    found = buckets(cell(1, 2, 4))
    assert found[:3] == [("0.001", 1.0), ("0.005", 3.0), ("0.01", 7.0)]
    assert found[-1] == ("+Inf", 7.0)
    assert len(found) == BUCKETS
