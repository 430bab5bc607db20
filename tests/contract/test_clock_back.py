"""A clock that jumps by an hour freezes nothing, whatever was written before."""

from __future__ import annotations

import pytest

from poolq.engines.base import Engine
from poolq.jobs.limits import Rule
from poolq.jobs.message import State
from poolq.jobs.outcomes import GIVE_BACK, Park, ReleaseUntil
from tests.contract.helpers import HOUR, SECOND, Worker, full, named, park, push
from tests.support.clock import Clock
from tests.support.wait import until

MINUTE = 60 * SECOND


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
    claim = worker.take("a")
    rule = full(engine, window=HOUR)
    moment = clock.now + 10 * MINUTE
    worker.end(claim, ReleaseUntil(moment, State(1), rule))
    clock.back(20 * MINUTE)
    assert worker.claim() == []
    clock.forward(30 * MINUTE)
    assert named(worker.claim()) == ["a"]


@pytest.mark.parametrize("queues", [["q"], None], ids=str)
def test_a_release_that_was_decided_before_the_clock_went_back_is_over(
    engine: Engine, worker: Worker, clock: Clock, queues: list[str] | None
) -> None:
    claim = worker.take("a")
    until_then = ReleaseUntil(clock.now + MINUTE, State(1), full(engine, window=MINUTE))
    clock.back(HOUR)
    worker.end(claim, until_then)
    assert named(worker.claim(9, queues)) == ["a"]


@pytest.mark.parametrize("noticed", [True, False], ids=["noticed", "unnoticed"])
@pytest.mark.parametrize("jumps", [(3600, 30), (30, 45), (50, 15), (2, 90)], ids=str)
def test_a_released_job_is_back_at_once_although_the_clock_goes_back_twice(
    engine: Engine, worker: Worker, clock: Clock, jumps: tuple[int, int], noticed: bool
) -> None:
    """In the model's seed 148962965, an hour and then half a minute: Redis had put the end of the
    wait to the moment of the first repair, which then lay ahead again."""
    claim = worker.take("a")
    worker.end(claim, ReleaseUntil(clock.now + MINUTE, State(1), full(engine, window=MINUTE)))
    first, second = jumps
    clock.back(first * SECOND)
    if noticed:
        engine.beat("n1", b"")  # on Redis, this notices the first time
        engine.sweep(HOUR)  # and this on SQL
    clock.back(second * SECOND)
    assert named(worker.claim()) == ["a"]


def test_a_later_release_does_not_hide_that_the_clock_went_back(
    engine: Engine, worker: Worker, clock: Clock
) -> None:
    push(engine, *"ab")
    a, b = worker.claim(2)
    rule = full(engine, window=MINUTE)
    worker.end(a, ReleaseUntil(clock.now + MINUTE, State(1), rule))
    clock.back(HOUR)
    engine.beat("n1", b"")  # on Redis, this notices it
    engine.sweep(HOUR)  # and this on SQL
    worker.end(b, ReleaseUntil(clock.now + MINUTE, State(1), rule))
    assert named(worker.claim(9)) == ["a"]
    clock.forward(MINUTE)
    assert named(worker.claim(9)) == ["b"]


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
    claim = worker.take("a")
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


@pytest.mark.parametrize("queues", [["q"], None], ids=str)
@pytest.mark.parametrize("hours", [-1, 1])
@pytest.mark.parametrize("by", ["a step", "a look"])
def test_a_line_is_served_behind_a_longer_one_whose_slot_is_rightly_far_off(
    engine: Engine, worker: Worker, clock: Clock, hours: int, queues: list[str] | None, by: str
) -> None:
    worker.queues = queues
    short, long = full(engine, "short", 2 * MINUTE), full(engine, "long", 3 * HOUR)
    park(worker, "long", rules=[long])
    park(worker, "short", rules=[short])
    clock.forward(hours * HOUR)
    if by == "a look":
        until(lambda: engine.wait(queues, 0.03) > 0, what="news")
    claims = until(worker.claim, what="the slot")
    assert [claim.admitted for claim in claims] == [True]
    assert claims[0].body == b"short" or hours < 0


@pytest.mark.parametrize("engine_url", ["redis"], indirect=True)
def test_a_granted_job_that_is_given_back_keeps_no_slot_in_the_future(
    engine: Engine, worker: Worker, clock: Clock
) -> None:
    park(worker, "a", rules=[Rule("k", 1, 3 * HOUR)])
    (claim,) = worker.claim()
    assert claim.admitted
    clock.back(HOUR)
    worker.end(claim, GIVE_BACK)
    assert [claim.admitted for claim in worker.claim()] == [False]
