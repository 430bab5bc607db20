"""How many jobs a worker claims at once follows from how long they take."""

from __future__ import annotations

import random

import hypothesis.strategies as st
import pytest
from hypothesis import given

from poolq.worker.prefetch import BATCH_SECONDS, MAX_BATCH, MAX_GROWTH, Prefetch

MICROS = 1e-6


def paced(seconds: float, times: int = 600, prefetch: int = 0) -> Prefetch:
    """After so many jobs of this duration, of a queue that has always had enough."""
    pace = Prefetch(prefetch)
    for _ in range(times):
        run(pace, seconds)
    return pace


def run(pace: Prefetch, seconds: float, job: str = "job") -> None:
    want = pace.want()
    pace.claimed(want, want)
    pace.measured(job, seconds)


def test_what_was_never_measured_comes_alone_and_is_taken_for_long() -> None:
    pace = Prefetch(0)
    assert pace.want() == 1
    assert not pace.short("job")


@pytest.mark.parametrize(
    ("seconds", "least", "most"),
    [(5 * MICROS, MAX_BATCH, MAX_BATCH), (200 * MICROS, 60, 100), (0.002, 8, 10), (0.009, 2, 2)],
)
def test_short_jobs_come_in_batches_of_about_a_budget(
    seconds: float, least: int, most: int
) -> None:
    pace = paced(seconds)
    assert least <= pace.want() <= most
    assert pace.short("job")


@pytest.mark.parametrize("seconds", [BATCH_SECONDS, 0.03, 0.09, 0.5, 3600])
def test_long_jobs_come_alone(seconds: float) -> None:
    pace = paced(seconds)
    assert pace.want() == 1
    assert not pace.short("job")


def test_short_jobs_come_in_whole_batches_soon() -> None:
    pace, claims = Prefetch(0), 0
    while pace.want() < MAX_BATCH:
        claims += 1
        want = pace.want()
        pace.claimed(want, want)
        for _ in range(want):
            pace.measured("job", 10 * MICROS)
    assert claims <= 12


@pytest.mark.parametrize("seconds", [0.05, 0.09, 3600])
def test_a_long_run_counts_at_once_and_no_more_than_any_other(seconds: float) -> None:
    pace = paced(10 * MICROS)
    run(pace, seconds)
    assert pace.want() == 1
    assert not pace.short("job")
    run(pace, 10 * MICROS)
    assert pace.want() <= 4, "one short run proves little"
    assert not pace.short("job")
    for _ in range(100):
        run(pace, 10 * MICROS)
    assert pace.want() > 60, "it was one of a hundred"
    assert pace.short("job")


def test_one_run_of_a_short_job_may_be_slow() -> None:
    """Its worker was kept from running, say."""
    pace = paced(10 * MICROS)
    run(pace, 1.5 * BATCH_SECONDS)
    assert pace.short("job")
    assert pace.want() == 1
    assert pace.fits() > 50, "what is claimed stays"
    run(pace, 0.75 * BATCH_SECONDS)
    assert pace.fits() == 1, "but not when it happens twice"


def test_durations_are_kept_by_job() -> None:
    pace = paced(10 * MICROS)
    pace.measured("report", 30.0)
    assert pace.short("job")
    assert not pace.short("report")


def test_a_batch_holds_a_budget_of_jobs_some_of_which_are_long() -> None:
    """One class, whose durations depend on its payload: claims must not be sized by the short
    ones, or most of each batch would have to be given back."""
    pace, rng, wants = Prefetch(0), random.Random(1), []
    for _ in range(2000):
        run(pace, 0.06 if rng.random() < 0.1 else 0.001)
        wants.append(pace.want())
    assert sum(wants) / len(wants) < 8
    assert max(wants) < 20


def test_who_found_nothing_begins_with_one_job() -> None:
    pace = paced(10 * MICROS)
    pace.claimed(0, MAX_BATCH)
    wants = []
    while not wants or wants[-1] < MAX_BATCH:
        wants.append(pace.want())
        pace.claimed(wants[-1], wants[-1])
    assert wants == [1, MAX_GROWTH, MAX_GROWTH**2, MAX_GROWTH**3, MAX_GROWTH**4, MAX_BATCH]


def test_a_claim_that_found_too_few_bounds_nothing() -> None:
    """A parked job comes alone, whatever is ready."""
    pace = paced(10 * MICROS)
    pace.claimed(1, MAX_BATCH)
    assert pace.want() == MAX_BATCH


@pytest.mark.parametrize(
    ("claimed", "wanted", "goes_on"),
    [(MAX_BATCH, MAX_BATCH, True), (4, 8, True), (4, 9, False), (3, 3, False)],
)
def test_the_next_claim_is_sent_early_where_there_is_enough(
    claimed: int, wanted: int, goes_on: bool
) -> None:
    pace = Prefetch(0)
    pace.claimed(claimed, wanted)
    assert pace.goes_on() is goes_on


@pytest.mark.parametrize("prefetch", [1, 7])
def test_prefetch_bounds_the_batch(prefetch: int) -> None:
    pace = paced(MICROS, prefetch=prefetch)
    assert pace.want() == prefetch
    assert not pace.goes_on()


def test_prefetch_asks_for_no_more_than_the_budget_holds() -> None:
    assert paced(0.5, prefetch=100).want() == 1


@given(st.lists(st.tuples(st.floats(0, 1e6), st.integers(0, 1000))), st.integers(0, 1000))
def test_it_always_wants_one_at_least(runs: list[tuple[float, int]], prefetch: int) -> None:
    pace = Prefetch(prefetch)
    for seconds, claimed in runs:
        pace.claimed(claimed, pace.want())
        pace.measured("job", seconds)
    assert 1 <= pace.want() <= (prefetch or MAX_BATCH)
