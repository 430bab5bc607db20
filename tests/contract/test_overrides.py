"""A limit that a person has set applies in place of the one in the code, to parked jobs too."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from poolq.engines.base import Engine
from poolq.jobs.limits import Gate, Rule, Window
from poolq.jobs.outcomes import Park
from tests.contract.conftest import OpenEngine
from tests.contract.helpers import HOUR, SECOND, Worker, every_engine, named, park, push, sweep_all
from tests.contract.waiters import LONG, quiet, waiting
from tests.support.clock import Clock

MINUTE = 60 * SECOND
MAIL = Rule("mail", 2, MINUTE)
SLIDING = MAIL._replace(sliding=True)


def starts(engine: Engine, rule: Rule) -> int:
    """How many starts are admitted now."""
    count = 0
    while engine.admit([rule]).wait == 0:
        count += 1
    return count


@pytest.mark.parametrize("rule", [MAIL, SLIDING], ids=["fixed", "sliding"])
def test_it_applies_from_the_next_start_on(engine: Engine, clock: Clock, rule: Rule) -> None:
    assert starts(engine, rule) == 2
    engine.set_limit("mail", MINUTE, 5)
    assert starts(engine, rule) == 3
    engine.set_limit("mail", MINUTE, 1)
    clock.forward(MINUTE)
    assert starts(engine, rule) == 1
    assert engine.reset_limit("mail", MINUTE, False)
    assert starts(engine, rule) == 1
    assert not engine.reset_limit("mail", MINUTE, False)


@pytest.mark.parametrize("rule", [MAIL, SLIDING], ids=["fixed", "sliding"])
def test_a_refusal_names_the_limit_that_applies(engine: Engine, worker: Worker, rule: Rule) -> None:
    assert starts(engine, rule) == 2
    assert engine.admit([rule]).limit == 2
    engine.set_limit("mail", MINUTE, 1)
    assert engine.admit([rule]).limit == 1
    claim = worker.take("a")
    gate = Gate("gate", 1)
    refused = engine.admit([gate, rule], (worker.name, claim))
    assert (refused.rule, refused.limit) == (1, 1)
    engine.reset_limit("mail", MINUTE, True)
    assert engine.admit([rule]).limit == 0, "it is admitted"


def test_it_names_key_and_window(engine: Engine) -> None:
    engine.set_limit("mail", MINUTE, 5)
    assert starts(engine, MAIL._replace(window=HOUR)) == 2
    assert starts(engine, MAIL._replace(key="mai")) == 2
    assert starts(engine, MAIL) == 5


def test_it_may_come_before_the_first_start(engine: Engine) -> None:
    engine.set_limit("mail", MINUTE, 3)
    (use,) = engine.limits()
    assert (use.rule, use.window, use.declared) == (MAIL._replace(limit=3), Window(0, 0), 0)
    assert starts(engine, MAIL) == 3
    (use,) = engine.limits()
    assert (use.rule.limit, use.window.used, use.declared) == (3, 3, 2)


def test_a_cost_above_it_counts_as_the_limit(engine: Engine, clock: Clock) -> None:
    dear = MAIL._replace(limit=100, cost=80)
    engine.set_limit("mail", MINUTE, 50)
    assert starts(engine, dear) == 1
    clock.forward(MINUTE)
    assert starts(engine, dear) == 1
    assert [use.window.used for use in engine.limits()] == [50]


@pytest.mark.parametrize("rule", [MAIL, SLIDING], ids=["fixed", "sliding"])
def test_parked_jobs_follow_it_at_once(
    engine: Engine, worker: Worker, clock: Clock, rule: Rule
) -> None:
    assert starts(engine, rule) == 2
    clock.forward(SECOND)
    park(worker, "a", "b", "c", "d", rules=[rule])
    assert worker.claim() == []
    engine.set_limit("mail", MINUTE, 4)
    assert [named(worker.claim()) for _ in range(3)] == [["a"], ["b"], []]
    (use,) = engine.limits()
    assert (use.rule.limit, use.declared, use.parked) == (4, 2, 2)
    engine.set_limit("mail", MINUTE, 1)
    clock.forward(2 * MINUTE)
    assert [named(worker.claim()) for _ in range(2)] == [["c"], []]
    engine.reset_limit("mail", MINUTE, False)
    assert named(worker.claim()) == ["d"]


def test_a_job_that_parks_later_waits_as_long_as_it_says(
    engine: Engine, worker: Worker, clock: Clock
) -> None:
    """It was refused under the old limit, and the new one came before it had parked."""
    assert starts(engine, MAIL) == 2
    engine.set_limit("mail", MINUTE, 3)
    park(worker, "b", rules=[MAIL])
    assert named(worker.claim()) == ["b"]
    park(worker, "c", rules=[MAIL])
    assert worker.claim() == []
    clock.forward(MINUTE)
    assert named(worker.claim()) == ["c"]


@pytest.mark.parametrize("rule", [MAIL, SLIDING], ids=["fixed", "sliding"])
def test_a_reset_may_forget_the_starts(
    engine: Engine, worker: Worker, clock: Clock, rule: Rule
) -> None:
    assert starts(engine, rule) == 2
    park(worker, "a", "b", "c", rules=[rule])
    assert not engine.reset_limit("mail", MINUTE, True)
    assert [named(worker.claim()) for _ in range(3)] == [["a"], ["b"], []]
    (use,) = engine.limits()
    assert (use.window, use.resets_in) == (Window(clock.now, 2), MINUTE)
    assert use.starts == 4, "the count of all starts goes on"
    clock.forward(MINUTE)
    assert named(worker.claim()) == ["c"]


@pytest.mark.parametrize("changed", [1, 3])
def test_a_reset_ends_it_for_jobs_that_changed_lines_under_it(
    engine: Engine, worker: Worker, changed: int
) -> None:
    """They move to the line of the limit that refuses them, and name for it what their code did."""
    engine.set_limit("mail", MINUTE, changed)
    assert starts(engine, MAIL) == changed
    park(worker, "a", "b", "c", rules=[Rule("ann", 9, MINUTE), MAIL])
    assert [worker.claim(3) for _ in range(3)] == [[], [], []]
    engine.reset_limit("mail", MINUTE, True)
    assert [name for _ in range(3) for name in named(worker.claim(3))] == ["a", "b"]


def test_a_sliding_limit_counts_it_as_a_thousand_at_most(engine: Engine) -> None:
    engine.set_limit("mail", MINUTE, 5000)
    assert engine.admit([SLIDING._replace(limit=1000, cost=1000)]).wait == 0
    assert engine.admit([SLIDING]).wait > 0
    assert [use.rule.limit for use in engine.limits()] == [1000]


def test_the_lines_of_all_queues_are_tried(engine: Engine, worker: Worker) -> None:
    assert starts(engine, MAIL) == 2
    for queue in ("one", "two"):
        push(engine, queue, queue=queue)
        (claim,) = worker.claim(queues=[queue])
        worker.end(claim, Park((MAIL,), 0))
    engine.set_limit("mail", MINUTE, 4)
    assert [named(worker.claim(queues=[queue])) for queue in ("one", "two")] == [["one"], ["two"]]


@every_engine
@pytest.mark.parametrize("queues", [None, ["q"]], ids=["all", "named"])
def test_it_wakes_a_keeper(
    engine: Engine, worker: Worker, threads: ThreadPoolExecutor, queues: Sequence[str] | None
) -> None:
    assert starts(engine, MAIL._replace(window=HOUR)) == 2
    park(worker, "a", rules=[MAIL._replace(window=HOUR)])
    quiet(engine, queues)
    future = waiting(threads, engine, LONG, queues)
    engine.set_limit("mail", HOUR, 3)
    assert future.result(60) > 0
    assert named(worker.claim()) == ["a"]


def test_it_outlives_a_sweep_and_other_engines_see_it(
    engine: Engine, opened: OpenEngine, clock: Clock
) -> None:
    engine.set_limit("mail", MINUTE, 1)
    assert starts(engine, MAIL) == 1
    clock.forward(24 * HOUR)
    sweep_all(engine, HOUR)
    other = opened(engine.url, engine.namespace)
    clock.govern(other)
    assert [use.declared is not None for use in other.limits()] == [True]
    assert starts(other, MAIL) == 1
