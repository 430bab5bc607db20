"""A start may count as several, and a job waits until its limit has room for all of them."""

from __future__ import annotations

import pytest

from poolq.engines.base import Engine
from poolq.jobs.limits import Rule
from poolq.jobs.outcomes import Park
from tests.contract.crowd import Crowd, start_all
from tests.contract.helpers import HOUR, SECOND, Worker, named, park, stored
from tests.support.clock import Clock

MINUTE = 60 * SECOND
TOKENS = Rule("llm", 100, MINUTE)


def costing(cost: int, limit: int = 100) -> Rule:
    return TOKENS._replace(cost=cost, limit=limit)


def used(engine: Engine) -> tuple[int, int]:
    """How much of the window is used, and how much was used in all windows."""
    (use,) = engine.limits()
    return use.window.used, use.starts


def test_the_costs_of_a_window_add_up_to_its_limit(engine: Engine, clock: Clock) -> None:
    assert [engine.admit([costing(cost)]).wait for cost in (60, 30)] == [0, 0]
    clock.forward(SECOND)
    refused = engine.admit([costing(11)])
    assert (refused.wait, refused.rule) == (MINUTE - SECOND, 0)
    assert refused.until == clock.now + MINUTE - SECOND
    assert engine.admit([costing(10)]).wait == 0
    assert engine.admit([costing(1)]).wait == MINUTE - SECOND
    assert used(engine) == (100, 100)
    clock.forward(MINUTE)
    assert engine.admit([costing(70)]).wait == 0
    assert used(engine) == (70, 170)


def test_a_cost_above_a_lowered_limit_counts_as_the_limit(engine: Engine, clock: Clock) -> None:
    assert engine.admit([costing(80, limit=50)]).wait == 0
    assert used(engine) == (50, 50)
    assert engine.admit([costing(80, limit=50)]).wait == MINUTE
    clock.forward(MINUTE)
    assert engine.admit([costing(80, limit=50)]).wait == 0


def test_a_limit_says_when_a_parked_job_may_start(
    engine: Engine, worker: Worker, clock: Clock
) -> None:
    """Its window has room, but not for what the first job costs."""
    engine.admit([costing(90)])
    park(worker, "dear", rules=[costing(50)])
    clock.forward(10 * SECOND)
    assert worker.claim() == []
    (use,) = engine.limits()
    assert (use.parked, use.window.used, use.slot_in) == (1, 90, 50 * SECOND)
    clock.forward(50 * SECOND)
    (use,) = engine.limits()
    assert (use.parked, use.window.used, use.slot_in) == (1, 0, 0), "it waits for a worker"
    assert named(worker.claim()) == ["dear"]
    assert [use.slot_in for use in engine.limits()] == [0]


def test_parked_jobs_start_in_order_whatever_they_cost(
    engine: Engine, worker: Worker, clock: Clock
) -> None:
    """A cheap job does not overtake one that its line must wait for."""
    engine.admit([costing(100)])
    park(worker, "big", rules=[costing(60)])
    park(worker, "bigger", rules=[costing(70)])
    park(worker, "small", rules=[costing(5)])
    assert worker.claim(3) == []
    clock.forward(MINUTE)
    (claim,) = worker.claim(3)
    assert (claim.admitted, named([claim])) == (True, ["big"])
    assert worker.claim(3) == []
    assert used(engine)[0] == 60
    clock.forward(MINUTE)
    assert [named(worker.claim(1)) for _ in range(3)] == [["bigger"], ["small"], []]
    assert used(engine)[0] == 75


def test_a_job_that_is_left_over_in_a_window_may_be_started_by_a_cheaper_start(
    engine: Engine, worker: Worker, clock: Clock
) -> None:
    """What a window has left is not kept for the line."""
    engine.admit([costing(90)])
    (first,) = park(worker, "big", rules=[costing(60)])
    assert worker.claim() == []
    assert engine.admit([costing(10)]).wait == 0
    clock.forward(MINUTE)
    assert [claim.id for claim in worker.claim()] == [first]


def test_lowering_a_limit_does_not_block_its_line(
    engine: Engine, worker: Worker, clock: Clock
) -> None:
    """The job parked while 80 of 100 were fine; a later one says that the limit is 50."""
    engine.admit([costing(100)])
    (first,) = park(worker, "first", rules=[costing(80)])
    claim = worker.take("second")
    worker.end(claim, Park((costing(5, limit=50),), 0))
    clock.forward(MINUTE)
    (claim,) = worker.claim()
    assert (claim.id, claim.admitted) == (first, True)
    assert used(engine)[0] == 50
    assert worker.claim() == []
    clock.forward(MINUTE)
    assert named(worker.claim()) == ["second"]
    assert used(engine)[0] == 5


def test_the_cost_is_kept_when_a_job_moves_to_another_line(
    engine: Engine, worker: Worker, clock: Clock
) -> None:
    wide, ann = costing(60), Rule("ann", 10, HOUR, 7)
    engine.admit([costing(100)])
    engine.admit([ann])
    (job,) = park(worker, "job", rules=[wide, ann])
    clock.forward(MINUTE)
    assert worker.claim() == []
    assert worker.claim() == []
    assert stored(engine, job).limit == "ann"
    clock.forward(HOUR)
    (claim,) = worker.claim()
    assert claim.admitted
    assert {use.rule.key: use.window.used for use in engine.limits()} == {"llm": 60, "ann": 7}


@pytest.mark.parametrize("cost", [1, 3])
def test_four_processes_never_exceed_the_limit(engine: Engine, crowd: Crowd, cost: int) -> None:
    rules = [Rule("wide", 1000, HOUR, 2), Rule("narrow", 50, HOUR, cost)]
    given = crowd.act(start_all, engine.url, engine.namespace, rules, 40)
    assert sum(given) == 50 // cost
    found = {use.rule.key: use.window.used for use in engine.limits()}
    assert found == {"wide": sum(given) * 2, "narrow": sum(given) * cost}


def test_a_dear_job_with_a_higher_limit_frees_the_cheap_one_before_it(
    engine: Engine, worker: Worker, clock: Clock
) -> None:
    """The line applies the limit that was last named, which has room for its head."""
    engine.admit([costing(100)])
    cheap, dear = worker.take_all("cheap", "dear")
    worker.end(cheap, Park((costing(1),), 0))
    worker.end(dear, Park((costing(20, limit=110),), 0))
    (claim,) = worker.claim(2)
    assert (named([claim]), claim.admitted) == (["cheap"], True)
