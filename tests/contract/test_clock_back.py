"""A clock that jumps by an hour freezes nothing, whatever was written before."""

from __future__ import annotations

import pytest

from poolq.engines.base import Engine, QueueCounts, Settlement
from poolq.jobs.limits import Rule
from poolq.jobs.message import State
from poolq.jobs.retry import GIVE_BACK, Park, Release, ReleaseUntil
from tests.contract.helpers import HOUR, SECOND, Worker, count_of, full, named, park, push, stored
from tests.support.clock import Clock

MINUTE = 60 * SECOND


@pytest.mark.parametrize("queues", [["q"], None], ids=str)
def test_what_was_ready_stays_ready(
    engine: Engine, worker: Worker, clock: Clock, queues: list[str] | None
) -> None:
    (first, *_) = push(engine, *"abc")
    worker.end(worker.claim(1, queues)[0], GIVE_BACK)
    clock.back(HOUR)
    assert count_of(engine) == QueueCounts("q", ready=3)
    assert stored(engine, first).status == "ready"
    assert named(worker.claim(2, queues) + worker.claim(2, queues)) == ["a", "b", "c"]


def test_what_is_dispatched_afterwards_is_ready_too(
    engine: Engine, worker: Worker, clock: Clock
) -> None:
    push(engine, *"ab")
    assert named(worker.claim(1)) == ["a"]
    clock.back(HOUR)
    push(engine, *"cd")
    assert sorted(named(worker.claim(9))) == ["b", "c", "d"]


def test_a_dispatch_after_the_jump_wakes_the_waiter(
    engine: Engine, worker: Worker, clock: Clock
) -> None:
    push(engine, "a")
    assert engine.wait(["q"], 5) > 0
    assert named(worker.claim(2)) == ["a"]
    clock.back(HOUR)
    for name in "bc":
        push(engine, name)
        assert engine.wait(["q"], 5) > 0
        assert named(worker.claim(2)) == [name]


def test_a_delayed_job_keeps_its_moment(engine: Engine, worker: Worker, clock: Clock) -> None:
    push(engine, "a", delay=HOUR)
    clock.back(HOUR)
    assert worker.claim() == []
    clock.forward(2 * HOUR - 1)
    assert worker.claim() == []
    clock.forward(1)
    assert named(worker.claim()) == ["a"]


def test_delayed_jobs_that_were_due_are_delayed_again(
    engine: Engine, worker: Worker, clock: Clock
) -> None:
    """No step has noticed them, so they were not ready."""
    push(engine, "a", delay=MINUTE)
    worker.end(worker.claim()[0], Release(MINUTE, State(1))) if worker.claim() else None
    clock.forward(MINUTE)
    clock.back(HOUR)
    clock.forward(HOUR)
    assert named(worker.claim()) == ["a"]


def test_a_window_from_the_future_reopens(engine: Engine, worker: Worker, clock: Clock) -> None:
    rule = full(engine, window=HOUR)
    push(engine, "a")
    (claim,) = worker.claim()
    clock.back(1)
    assert engine.admit([rule], ("w1", claim)).wait == 0
    refused = engine.admit([rule], ("w1", claim))
    assert (refused.wait, refused.until) == (HOUR, clock.now + HOUR)
    assert [use.resets_in for use in engine.limits()] == [HOUR]


def test_a_window_that_had_begun_continues(engine: Engine, clock: Clock) -> None:
    rule = full(engine, window=2 * HOUR)
    clock.forward(90 * MINUTE)
    clock.back(HOUR)
    assert engine.admit([rule]).wait == 90 * MINUTE


def test_a_window_from_the_future_is_not_shown(engine: Engine, clock: Clock) -> None:
    full(engine)
    clock.back(MINUTE)
    assert engine.limits() == []


@pytest.mark.parametrize("queues", [["q"], None], ids=str)
def test_a_parked_job_is_given_the_slot_of_the_reopened_window(
    engine: Engine, worker: Worker, clock: Clock, queues: list[str] | None
) -> None:
    rule = full(engine, window=HOUR)
    park(worker, *"ab", rules=[rule])
    assert worker.claim(1, queues) == []
    clock.back(HOUR)
    (claim,) = worker.claim(1, queues)
    assert (named([claim]), claim.admitted) == (["a"], True)
    assert worker.claim(1, queues) == []
    clock.forward(HOUR)
    assert named(worker.claim(1, queues)) == ["b"]


def test_the_reopened_window_wakes_the_waiter(engine: Engine, worker: Worker, clock: Clock) -> None:
    park(worker, "a", rules=[full(engine)])
    clock.back(HOUR)
    assert engine.wait(["q"], 5) > 0
    assert named(worker.claim()) == ["a"]


@pytest.mark.parametrize("queues", [["q"], None], ids=str)
def test_a_released_job_is_back_when_its_window_lies_ahead(
    engine: Engine, worker: Worker, clock: Clock, queues: list[str] | None
) -> None:
    push(engine, *"ab")
    (claim,) = worker.claim()
    rule = full(engine, window=HOUR)
    worker.end(claim, ReleaseUntil(clock.now + HOUR, State(1), rule))
    push(engine, "c")
    clock.back(2 * HOUR)
    assert named(worker.claim(9, queues)) == ["a", "b", "c"]


def test_a_job_released_for_less_than_its_window_waits_for_that(
    engine: Engine, worker: Worker, clock: Clock
) -> None:
    push(engine, "a")
    (claim,) = worker.claim()
    rule = full(engine, window=HOUR)
    moment = clock.now + 10 * MINUTE
    worker.end(claim, ReleaseUntil(moment, State(1), rule))
    clock.back(20 * MINUTE)
    assert worker.claim() == []
    clock.forward(30 * MINUTE)
    assert named(worker.claim()) == ["a"]


def test_a_busy_worker_finds_a_line_again_too(engine: Engine, worker: Worker, clock: Clock) -> None:
    """It always has jobs, and never needs to look for others."""
    parked = park(worker, "a", rules=[full(engine)])
    push(engine, *map(str, range(100)))
    clock.back(HOUR)
    engine.beat("n1", b"")
    engine.sweep(HOUR)
    found = [claim.id for _ in range(9) for claim in worker.claim(2)]
    assert parked[0] in found


@pytest.mark.parametrize("hours", [-1, 1])
def test_all_kinds_of_jobs_together_continue(
    engine: Engine, worker: Worker, clock: Clock, hours: int
) -> None:
    rules = [Rule("two", 2, MINUTE), Rule("five", 5, HOUR)]
    push(engine, *map(str, range(20)))
    done: list[str] = []

    def work(rounds: int) -> None:
        for _ in range(rounds):
            for claim in worker.claim(3):
                admission = claim.admitted or engine.admit(rules, ("w1", claim))
                if admission is True or not admission.wait:
                    done.extend(named([claim]))
                    worker.end(claim)
                elif int(named([claim])[0]) % 2:
                    worker.end(claim, Park(tuple(rules), admission.rule))
                else:
                    rule = rules[admission.rule]
                    worker.end(claim, ReleaseUntil(admission.until, State(1), rule))
            clock.forward(10 * SECOND)

    work(12)
    clock.forward(hours * HOUR)
    before = len(done)
    work(12)
    assert len(done) > before, "frozen"
    for _ in range(6):
        clock.forward(HOUR)
        work(12)
    assert sorted(done, key=int) == [str(n) for n in range(20)]


def test_nothing_waits_longer_after_a_jump_ahead(
    engine: Engine, worker: Worker, clock: Clock
) -> None:
    rule = full(engine, window=HOUR)
    park(worker, "p", rules=[rule])
    push(engine, "d", delay=HOUR)
    clock.forward(HOUR)
    claims = worker.claim(9)
    claims += worker.step(*(Settlement(claim, GIVE_BACK) for claim in claims[1:]), want=9).claims
    assert {"p", "d"} <= set(named(claims))


def test_a_repeated_step_does_not_hide_that_the_clock_went_back(
    engine: Engine, worker: Worker, clock: Clock
) -> None:
    """It answers as before and examines nothing, so the next step must notice."""
    push(engine, *"abc")
    (claim,) = worker.claim()
    rule = full(engine, window=HOUR)
    worker.end(claim, ReleaseUntil(clock.now + HOUR, State(1), rule))
    assert named(worker.claim()) == ["b"]
    clock.back(3 * HOUR)
    assert named(worker.again(want=1).claims) == ["b"]
    assert named(worker.claim(9)) == ["a", "c"]


def test_a_released_job_waits_as_before_if_nobody_looks_until_the_clock_has_caught_up(
    engine: Engine, worker: Worker, clock: Clock
) -> None:
    push(engine, "a")
    (claim,) = worker.claim()
    moment = clock.now + HOUR
    worker.end(claim, ReleaseUntil(moment, State(1), full(engine, window=HOUR)))
    clock.back(3 * HOUR)
    clock.forward(3 * HOUR)
    assert worker.claim() == []
    clock.forward(HOUR)
    assert named(worker.claim()) == ["a"]


@pytest.mark.parametrize("queues", [["q"], None], ids=str)
def test_a_line_waits_for_at_most_one_window_longer(
    engine: Engine, worker: Worker, clock: Clock, queues: list[str] | None
) -> None:
    """Its slot was calculated before the window that the clock has left opened."""
    rule = full(engine, window=HOUR)
    clock.forward(30 * MINUTE)
    park(worker, "a", rules=[rule])
    clock.forward(40 * MINUTE)
    assert engine.admit([rule]).wait == 0
    clock.back(30 * MINUTE)
    found = []
    for _ in range(6):
        found += worker.claim(1, queues)
        clock.forward(10 * MINUTE)
    assert named(found) == ["a"]
