"""The server's clock jumps by an hour: no job waits for longer than without the jump."""

from __future__ import annotations

from contextlib import suppress

import pytest

from poolq.engines.base import Engine, QueueCounts
from poolq.jobs.limits import Rule
from poolq.jobs.message import State
from poolq.jobs.retry import GIVE_BACK, Park, ReleaseUntil
from tests.contract.helpers import HOUR, MS, SECOND, Worker, count_of, full, named, park, push
from tests.support.clock import Clock
from tests.support.wait import until

pytestmark = pytest.mark.parametrize("engine_url", ["redis"], indirect=True)

BOTH = pytest.mark.parametrize("hours", [-1, 1])


@BOTH
def test_ready_jobs_stay_ready(clock: Clock, engine: Engine, hours: int) -> None:
    worker = Worker(engine)
    push(engine, "a", "b")
    worker.end(worker.claim()[0], GIVE_BACK)
    clock.forward(hours * HOUR)
    assert count_of(engine) == QueueCounts("q", ready=2)
    assert named(worker.claim(9)) == ["a", "b"]


@BOTH
def test_a_window_is_over_or_continues(clock: Clock, engine: Engine, hours: int) -> None:
    rule = full(engine, window=10 * SECOND)
    long = full(engine, "long", 3 * HOUR)
    clock.forward(hours * HOUR)
    assert engine.admit([rule]).wait == 0
    refused = engine.admit([rule])
    assert 0 < refused.wait <= rule.window
    assert (engine.admit([long]).wait == 0) is (hours < 0), "what began in the future is over"


@pytest.mark.parametrize("queues", [["q"], None], ids=str)
@BOTH
@pytest.mark.parametrize("by", ["a step", "a look"])
def test_parked_jobs_get_their_slots(
    clock: Clock, engine: Engine, hours: int, queues: list[str] | None, by: str
) -> None:
    """Even behind a longer line whose slot is rightly far off."""
    worker = Worker(engine, queues=queues)
    short, long = Rule("short", 1, 2 * SECOND), Rule("long", 1, 3 * HOUR)
    engine.admit([short])
    engine.admit([long])
    park(worker, "long", rules=[long])
    park(worker, "short", rules=[short])
    clock.forward(hours * HOUR)
    if by == "a look":
        until(lambda: engine.wait(queues, 0.03) > 0, 5, "news")
    claims = until(worker.claim, 5, "the slot")
    assert [claim.admitted for claim in claims] == [True]
    assert claims[0].body == b"short" or hours < 0


@pytest.mark.parametrize("queues", [["q"], None], ids=str)
@BOTH
def test_released_jobs_come_back(
    clock: Clock, engine: Engine, hours: int, queues: list[str] | None
) -> None:
    worker = Worker(engine, queues=queues)
    rule = full(engine, window=SECOND)
    push(engine, "a", "b")
    until_when = engine.admit([rule]).until
    (claim,) = worker.claim()
    worker.end(claim, ReleaseUntil(until_when, State(1), rule))
    clock.forward(hours * HOUR)
    assert named(until(lambda: worker.claim(9), 5, "jobs")) in (["a", "b"], ["b"])
    with suppress(AssertionError):
        until(lambda: worker.claim(9), 0.2, "the other")
    assert count_of(engine) == QueueCounts("q", running=2)


@BOTH
def test_delayed_jobs_keep_their_due_time(clock: Clock, engine: Engine, hours: int) -> None:
    worker = Worker(engine)
    push(engine, "soon", delay=HOUR // 2)
    push(engine, "late", delay=2 * HOUR)
    clock.forward(hours * HOUR)
    assert named(worker.claim(9)) == (["soon"] if hours > 0 else [])
    assert count_of(engine).delayed == (1 if hours > 0 else 2)


def test_a_granted_job_that_is_given_back_keeps_no_slot_in_the_future(
    clock: Clock, engine: Engine
) -> None:
    worker = Worker(engine)
    park(worker, "a", rules=[Rule("k", 1, 3 * HOUR)])
    claim = worker.claim_soon()
    assert claim.admitted
    clock.back(HOUR)
    worker.end(claim, GIVE_BACK)
    (again,) = worker.claim()
    assert not again.admitted
    worker.end(again, Park((Rule("k", 1, 50 * MS),), 0))
