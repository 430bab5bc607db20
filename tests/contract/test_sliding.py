"""A sliding limit holds in any interval of its length: there is no edge at which it starts anew."""

from __future__ import annotations

import random

import pytest

from poolq.engines.base import Engine, Settlement
from poolq.jobs.limits import MAX_SLIDING_LIMIT, Rule, Window
from poolq.jobs.message import State
from poolq.jobs.outcomes import GIVE_BACK, ReleaseUntil
from tests.contract.crowd import Crowd, start_all
from tests.contract.helpers import HOUR, SECOND, Worker, named, park, stored
from tests.support.clock import Clock

MINUTE = 60 * SECOND
THREE = Rule("api", 3, MINUTE, sliding=True)


def test_there_is_no_double_burst_at_an_edge(engine: Engine, clock: Clock) -> None:
    """A fixed window of these would have ended after the third start."""
    assert engine.admit([THREE]).wait == 0
    clock.forward(MINUTE - SECOND)
    assert [engine.admit([THREE]).wait for _ in range(3)] == [0, 0, SECOND]
    clock.forward(SECOND)
    refused = [engine.admit([THREE]) for _ in range(2)]
    assert [one.wait for one in refused] == [0, MINUTE - SECOND]
    assert refused[1].until == clock.now + MINUTE - SECOND
    (use,) = engine.limits()
    assert use.rule == THREE
    assert use.window == Window(clock.now - SECOND, 3)
    assert (use.resets_in, use.starts) == (MINUTE - SECOND, 4)


@pytest.mark.parametrize("seed", range(3))
def test_no_interval_has_more_starts_than_the_limit(
    engine: Engine, clock: Clock, seed: int
) -> None:
    """With costs, and a limit that changes; each refusal says exactly how long to wait."""
    rand = random.Random(seed)
    rule = Rule("api", 7, MINUTE, sliding=True)
    starts: list[tuple[int, int]] = []
    for _ in range(60):
        clock.forward(rand.choice((0, 1, SECOND, 5 * SECOND, 20 * SECOND)))
        asked = rule._replace(cost=rand.choice((1, 1, 2, 5)))
        wait = engine.admit([asked]).wait
        if wait:
            clock.forward(wait - 1)
            assert engine.admit([asked]).wait == 1
            clock.forward(1)
            assert engine.admit([asked]).wait == 0
        starts.append((clock.now, asked.cost))
    for begin, _ in starts:
        assert sum(cost for at, cost in starts if begin <= at < begin + MINUTE) <= 7


def test_four_processes_never_exceed_it(engine: Engine, crowd: Crowd) -> None:
    rules = [Rule("wide", 500, HOUR, 3, sliding=True), Rule("narrow", 50, HOUR, sliding=True)]
    given = crowd.act(start_all, engine.url, engine.namespace, rules, 40)
    assert sum(given) == 50
    found = {use.rule.key: (use.window.used, use.starts) for use in engine.limits()}
    assert found == {"wide": (150, 150), "narrow": (50, 50)}


def test_the_greatest_limit_is_exact_too(engine: Engine, clock: Clock) -> None:
    rule = Rule("api", MAX_SLIDING_LIMIT, MINUTE, 5, sliding=True)
    for _ in range(MAX_SLIDING_LIMIT // 5):
        clock.forward(1000)
        assert engine.admit([rule]).wait == 0
    assert engine.admit([rule]).wait == MINUTE - 199_000
    assert engine.admit([rule._replace(cost=500)]).wait == MINUTE - 100_000
    assert engine.admit([rule._replace(cost=1000)]).wait == MINUTE


def test_it_counts_apart_from_a_fixed_limit_of_the_same_key(engine: Engine) -> None:
    fixed = THREE._replace(sliding=False)
    for rule in (THREE, fixed):
        assert [engine.admit([rule]).wait > 0 for _ in range(4)] == [False] * 3 + [True]
    assert [use.rule for use in engine.limits()] == [fixed, THREE]


def test_parked_jobs_start_one_by_one_as_starts_leave_the_window(
    engine: Engine, worker: Worker, clock: Clock
) -> None:
    for _ in range(3):
        assert engine.admit([THREE]).wait == 0
        clock.forward(10 * SECOND)
    ids = park(worker, "a", "b", "c", "d", rules=[THREE])
    assert stored(engine, ids[0]).limit == "api"
    assert [use.parked for use in engine.limits()] == [4]
    assert worker.claim(4) == []
    clock.forward(30 * SECOND)
    assert [named(worker.claim(4)) for _ in range(2)] == [["a"], []]
    clock.forward(10 * SECOND)
    assert [named(worker.claim(4)) for _ in range(2)] == [["b"], []]
    clock.forward(MINUTE)
    assert [named(worker.claim(1)) for _ in range(3)] == [["c"], ["d"], []]


def test_a_start_that_was_not_made_is_not_used_later(
    engine: Engine, worker: Worker, clock: Clock
) -> None:
    """The job would start within the window of starts that were counted after it."""
    engine.admit([Rule("api", 1, MINUTE, sliding=True)])
    park(worker, "a", rules=[Rule("api", 1, MINUTE, sliding=True)])
    clock.forward(MINUTE)
    (claim,) = worker.claim()
    assert claim.admitted
    assert [one.admitted for one in worker.again(want=1).claims] == [True], "the same answer"
    clock.forward(1)
    assert worker.step(Settlement(claim, GIVE_BACK)).stale == []
    (again,) = worker.claim()
    assert (again.id, again.admitted) == (claim.id, False)


def test_a_released_job_waits_until_its_start_has_room(
    engine: Engine, worker: Worker, clock: Clock
) -> None:
    two = THREE._replace(cost=2)
    engine.admit([THREE])
    clock.forward(20 * SECOND)
    engine.admit([two])
    claim = worker.take("a")
    refused = engine.admit([two], ("w1", claim))
    assert refused.wait == MINUTE
    worker.end(claim, ReleaseUntil(refused.until, claim.state, two))
    found = stored(engine, claim.id)
    assert (found.status, found.limit, found.at) == ("delayed", "api", refused.until)
    assert worker.claim() == []
    clock.forward(MINUTE)
    assert [one.id for one in worker.claim()] == [claim.id]


def test_the_limit_that_released_a_job_is_listed_with_it(engine: Engine, worker: Worker) -> None:
    """And not as a fixed one of the same length, which nobody has."""
    claim = worker.take("a")
    assert [engine.admit([THREE]).wait for _ in range(3)] == [0, 0, 0]
    refused = engine.admit([THREE], (worker.name, claim))
    worker.end(claim, ReleaseUntil(refused.until, State(1), THREE))
    assert [(use.rule, use.released) for use in engine.limits()] == [(THREE, 1)]


def test_after_the_clock_went_back_starts_of_the_future_do_not_count(
    engine: Engine, clock: Clock
) -> None:
    for _ in range(3):
        engine.admit([THREE])
    clock.back(HOUR)
    assert [engine.admit([THREE]).wait for _ in range(4)] == [0, 0, 0, MINUTE]
    clock.forward(MINUTE)
    assert engine.admit([THREE]).wait == 0
