"""How many jobs a worker claims at once follows from how long they take."""

from __future__ import annotations

import random

import hypothesis.strategies as st
import pytest
from hypothesis import given

from poolq.worker.prefetch import BATCH_SECONDS, MAX_BATCH, MAX_GROWTH, Prefetch

MICROS = 1e-6


def paced(seconds: float, times: int = 600, prefetch: int = 0) -> Prefetch:
    """After `times` jobs of this duration, from a queue that always had enough."""
    sized = Prefetch(prefetch)
    for _ in range(times):
        run(sized, seconds)
    return sized


def run(prefetch: Prefetch, seconds: float, job: str = "job") -> None:
    want = prefetch.batch_size()
    prefetch.record_claim(want, want)
    prefetch.record(job, seconds, seconds)


def test_one_measured_job_proves_little() -> None:
    prefetch = Prefetch(0)
    run(prefetch, 10 * MICROS)
    assert prefetch.batch_size() == 1


@pytest.mark.parametrize(
    ("seconds", "least", "most"),
    [(5 * MICROS, MAX_BATCH, MAX_BATCH), (200 * MICROS, 60, 100), (0.002, 8, 10), (0.009, 2, 2)],
)
def test_short_jobs_come_in_batches_of_about_a_budget(
    seconds: float, least: int, most: int
) -> None:
    prefetch = paced(seconds)
    assert least <= prefetch.batch_size() <= most
    assert prefetch.is_short("job")


@pytest.mark.parametrize("seconds", [BATCH_SECONDS, 0.03, 0.09, 0.5, 3600])
def test_long_jobs_come_alone(seconds: float) -> None:
    prefetch = paced(seconds)
    assert prefetch.batch_size() == 1
    assert not prefetch.is_short("job")


def test_short_jobs_come_in_whole_batches_soon() -> None:
    prefetch, claims = Prefetch(0), 0
    while prefetch.batch_size() < MAX_BATCH:
        claims += 1
        want = prefetch.batch_size()
        prefetch.record_claim(want, want)
        for _ in range(want):
            prefetch.record("job", 10 * MICROS, 10 * MICROS)
    assert claims <= 12


@pytest.mark.parametrize("seconds", [0.05, 0.09, 3600])
def test_a_long_run_counts_at_once_and_no_more_than_any_other(seconds: float) -> None:
    prefetch = paced(10 * MICROS)
    run(prefetch, seconds)
    assert prefetch.batch_size() == 1
    assert not prefetch.is_short("job")
    run(prefetch, 10 * MICROS)
    assert prefetch.batch_size() <= 4, "one short run proves little"
    assert not prefetch.is_short("job")
    for _ in range(100):
        run(prefetch, 10 * MICROS)
    assert prefetch.batch_size() > 60, "it was one of a hundred"
    assert prefetch.is_short("job")


def test_one_run_of_a_short_job_may_be_slow() -> None:
    """The worker may have been kept from running."""
    prefetch = paced(10 * MICROS)
    run(prefetch, 1.5 * BATCH_SECONDS)
    assert prefetch.is_short("job")
    assert prefetch.batch_size() == 1
    assert prefetch.capacity() > 50, "what is claimed stays"
    run(prefetch, 0.75 * BATCH_SECONDS)
    assert prefetch.capacity() == 1, "but not when it happens twice"


def test_waiting_makes_batches_small_but_no_job_long() -> None:
    """For the engine, which is asked for a start, or for other workers."""
    prefetch = Prefetch(0)
    for _ in range(600):
        want = prefetch.batch_size()
        prefetch.record_claim(want, want)
        prefetch.record("job", 10 * MICROS, 0.005)
    assert prefetch.is_short("job")
    assert 3 <= prefetch.batch_size() <= 4


def test_a_single_wait_makes_the_next_batch_only_a_little_smaller() -> None:
    prefetch = paced(10 * MICROS)
    before = prefetch.batch_size()
    prefetch.record("job", 10 * MICROS, 0.005)
    assert before / 4 < prefetch.batch_size() < before


def test_a_refused_job_has_not_run() -> None:
    prefetch = Prefetch(0)
    prefetch.record("job", 0.0, 0.001)
    assert not prefetch.is_short("job")


def test_a_batch_holds_a_budget_of_jobs_some_of_which_are_long() -> None:
    """The durations of one class depend on its payload: the short ones must not size the batches,
    or most of each batch would be given back."""
    prefetch, rng, wants = Prefetch(0), random.Random(1), []
    for _ in range(2000):
        run(prefetch, 0.06 if rng.random() < 0.1 else 0.001)
        wants.append(prefetch.batch_size())
    assert sum(wants) / len(wants) < 8
    assert max(wants) < 20


def test_who_found_nothing_begins_with_one_job() -> None:
    prefetch = paced(10 * MICROS)
    prefetch.record_claim(0, MAX_BATCH)
    wants = []
    while not wants or wants[-1] < MAX_BATCH:
        wants.append(prefetch.batch_size())
        prefetch.record_claim(wants[-1], wants[-1])
    assert wants == [1, MAX_GROWTH, MAX_GROWTH**2, MAX_GROWTH**3, MAX_GROWTH**4, MAX_BATCH]


def test_a_claim_that_found_too_few_bounds_nothing() -> None:
    """A parked job comes alone, however many are ready."""
    prefetch = paced(10 * MICROS)
    prefetch.record_claim(1, MAX_BATCH)
    assert prefetch.batch_size() == MAX_BATCH


@pytest.mark.parametrize("prefetch", [1, 7])
def test_prefetch_bounds_the_batch(prefetch: int) -> None:
    fixed = paced(MICROS, prefetch=prefetch)
    assert fixed.batch_size() == prefetch


def test_prefetch_asks_for_no_more_than_the_budget_holds() -> None:
    assert paced(0.5, prefetch=100).batch_size() == 1


@given(st.lists(st.tuples(st.floats(0, 1e6), st.integers(0, 1000))), st.integers(0, 1000))
def test_it_always_wants_one_at_least(runs: list[tuple[float, int]], prefetch: int) -> None:
    sized = Prefetch(prefetch)
    for seconds, claimed in runs:
        sized.record_claim(claimed, sized.batch_size())
        sized.record("job", seconds, seconds)
    assert 1 <= sized.batch_size() <= (prefetch or MAX_BATCH)
