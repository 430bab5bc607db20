"""A repeated request gets the same reply and does nothing; a lower one is rejected."""

from __future__ import annotations

import pytest

from poolq.engines.base import Engine, QueueCounts, Settlement, Step
from poolq.errors import EngineError, EngineUnavailable, Fenced
from poolq.jobs.message import State
from poolq.jobs.outcomes import ACK, GIVE_BACK, Bury, Outcome, Park, Release, ReleaseUntil
from tests.contract.helpers import (
    HOUR,
    SECOND,
    Worker,
    count_of,
    full,
    named,
    park,
    push,
    registration,
    stored,
    total,
    wait_for,
)
from tests.support.clock import Clock


def same(one: Step, two: Step) -> bool:
    """Compare replies, except for the time until the next due job."""
    return (one.claims, one.stale) == (two.claims, two.stale)


def test_a_repeated_step_claims_nothing_more(engine: Engine, worker: Worker) -> None:
    push(engine, "a", "b", "c", "d")
    step = worker.step(want=2)
    assert named(step.claims) == ["a", "b"]
    for _ in range(3):
        assert same(worker.again(want=2), step)
    assert count_of(engine) == QueueCounts("q", ready=2, running=2)


def test_a_long_reply_comes_back_in_order(engine: Engine, worker: Worker) -> None:
    push(engine, *map(str, range(600)))
    worker.step()
    step = worker.step(want=500)
    assert same(worker.again(want=500), step)
    assert len(step.claims) == 500


def test_a_repeated_step_that_found_nothing_finds_nothing(engine: Engine, worker: Worker) -> None:
    """Otherwise, if a reply is only late, a claim would be left that its worker does not know."""
    step = worker.step(want=1)
    push(engine, "a")
    assert same(worker.again(want=1), step)
    assert count_of(engine).ready == 1
    assert named(worker.claim()) == ["a"]


def test_a_repeated_step_settles_nothing_twice(engine: Engine, worker: Worker) -> None:
    rule = full(engine)
    push(engine, *"abcdefg")
    outcomes: list[Outcome] = [
        ACK, Release(0, State(1)), GIVE_BACK, Bury(State(1)),
        Park((rule,), 0), ReleaseUntil(engine.now() + HOUR, State(1), rule),
    ]  # fmt: skip
    pairs = zip(worker.claim(6), outcomes, strict=True)
    settlements = [Settlement(claim, outcome) for claim, outcome in pairs]
    step = worker.step(*settlements, want=1)
    assert named(step.claims) == ["c"]
    before = engine.totals(), count_of(engine)
    assert same(worker.again(*settlements, want=1), step)
    assert (engine.totals(), count_of(engine)) == before
    counted = ("done", "failed", "parked", "limited")
    assert [before[0]["q"][name] for name in counted] == [1, 1, 1, 1]


def test_a_repeated_step_tells_the_same_stale_ids(engine: Engine, worker: Worker) -> None:
    ids = push(engine, "a", "b", "c")
    first, second = worker.claim(2)
    worker.end(first)
    settlements = [Settlement(first, ACK), Settlement(second, ACK)]
    step = worker.step(*settlements, want=1)
    assert step.stale == [ids[0]]
    assert same(worker.again(*settlements, want=1), step)
    assert total(engine, "done") == 2


def test_a_repeated_step_gives_a_parked_job_one_slot(
    engine: Engine, worker: Worker, clock: Clock
) -> None:
    rule = full(engine)
    park(worker, "a", "b", rules=[rule])
    clock.forward(rule.window)
    claims = worker.claim()
    assert (named(claims), claims[0].admitted) == (["a"], True)
    assert worker.again(want=1).claims == claims
    assert count_of(engine) == QueueCounts("q", parked=1, running=1)
    assert [use.window.used for use in engine.limits() if use.rule.key == rule.key] == [1]


def test_a_reply_is_kept_from_one_step_to_the_next(engine: Engine, worker: Worker) -> None:
    push(engine, "a", "b", "c")
    first = worker.step(want=1)
    second = worker.step(Settlement(first.claims[0], ACK), want=1)
    assert same(worker.again(Settlement(first.claims[0], ACK), want=1), second)
    third = worker.step(want=1)
    assert same(worker.again(want=1), third)
    assert named(first.claims + second.claims + third.claims) == ["a", "b", "c"]


def test_each_worker_has_request_ids_of_its_own(engine: Engine, worker: Worker) -> None:
    push(engine, "a", "b", "c")
    worker.claim()
    worker.claim()
    assert named(Worker(engine, "w2").claim()) == ["c"]


def test_a_lower_request_id_is_refused_and_changes_nothing(engine: Engine, worker: Worker) -> None:
    (pushed, _) = push(engine, "a", "b")
    (claim,) = worker.claim()
    worker.step()
    worker.request = 0
    with pytest.raises(EngineError) as caught:
        worker.step(Settlement(claim, ACK), want=1)
    assert not isinstance(caught.value, EngineUnavailable | Fenced)
    assert "\n" not in str(caught.value)
    assert stored(engine, pushed).status == "running"
    assert count_of(engine) == QueueCounts("q", ready=1, running=1)
    worker.request = 2
    worker.end(claim)


@pytest.mark.parametrize("between", ["another connection", "pause and purge", "registration"])
def test_a_repeat_is_the_same_whatever_has_happened_since(
    engine: Engine, other: Engine, worker: Worker, between: str
) -> None:
    push(engine, "a", "b")
    step = worker.step(want=1)
    match between:
        case "another connection":
            worker.engine = other
        case "pause and purge":
            engine.pause("q")
            engine.purge("q")
        case "registration":
            engine.register(registration())
    assert same(worker.again(want=1), step)
    worker.end(step.claims[0])
    assert len(engine.registered()) == 1


def test_a_delayed_job_that_comes_due_before_the_repeat_is_not_in_it(
    engine: Engine, worker: Worker
) -> None:
    (pushed,) = push(engine, "a", delay=SECOND)
    push(engine, "b", delay=HOUR)
    step = worker.step(want=1)
    assert step.claims == []
    wait_for(engine, stored(engine, pushed).at)
    assert worker.again(want=1).claims == []
    assert worker.claim()[0].id == pushed
