"""How many jobs a worker claims at once follows from how long they take."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import given

from poolq.worker.pace import BUDGET, MOST, Pace

MICROS = 1e-6


def paced(seconds: float, times: int = 50, prefetch: int = 0) -> Pace:
    pace = Pace(prefetch)
    for _ in range(times):
        pace.measured("job", seconds)
    return pace


def test_what_was_never_measured_comes_alone_and_is_taken_for_long() -> None:
    pace = Pace(0)
    assert pace.want() == 1
    assert not pace.short("job")


@pytest.mark.parametrize(
    ("seconds", "least", "most"),
    [(5 * MICROS, MOST, MOST), (200 * MICROS, 60, 100), (0.002, 8, 10), (0.009, 2, 2)],
)
def test_short_jobs_come_in_batches_of_about_a_budget(
    seconds: float, least: int, most: int
) -> None:
    pace = paced(seconds)
    assert least <= pace.want() <= most
    assert pace.short("job")


@pytest.mark.parametrize("seconds", [BUDGET, 0.5, 3600])
def test_long_jobs_come_alone(seconds: float) -> None:
    pace = paced(seconds)
    assert pace.want() == 1
    assert not pace.short("job")


def test_one_long_run_is_believed_sooner_than_many_short_ones_are_forgotten() -> None:
    pace = paced(10 * MICROS)
    pace.measured("job", 1.0)
    assert pace.want() == 1
    assert not pace.short("job")
    pace.measured("job", 10 * MICROS)
    assert pace.want() == 1, "one short run proves little"


def test_durations_are_kept_by_job() -> None:
    pace = paced(10 * MICROS)
    pace.measured("report", 30.0)
    assert pace.short("job")
    assert not pace.short("report")


@pytest.mark.parametrize("prefetch", [1, 7])
def test_prefetch_bounds_the_batch(prefetch: int) -> None:
    assert paced(MICROS, prefetch=prefetch).want() == prefetch


def test_prefetch_asks_for_no_more_than_the_budget_holds() -> None:
    assert paced(0.5, prefetch=100).want() == 1


@given(st.lists(st.floats(0, 1e6)), st.integers(0, 1000))
def test_it_always_wants_one_at_least(durations: list[float], prefetch: int) -> None:
    pace = Pace(prefetch)
    for seconds in durations:
        pace.measured("job", seconds)
    assert 1 <= pace.want() <= (prefetch or MOST)
