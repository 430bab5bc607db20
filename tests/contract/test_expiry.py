"""A job expires some time after it is due, by the engine's clock. The engine keeps that time beside
the job, whatever happens to it; workers settle jobs that have expired."""

from __future__ import annotations

import pytest

from poolq.engines.base import DeathReport, Engine, Push, QueueCounts, Settlement
from poolq.jobs.limits import Rule
from poolq.jobs.message import State
from poolq.jobs.outcomes import (
    EXPIRE,
    GIVE_BACK,
    Bury,
    Failing,
    Outcome,
    Park,
    Release,
    ReleaseUntil,
)
from tests.contract.helpers import (
    HOUR,
    SECOND,
    Worker,
    count_of,
    died,
    every_engine,
    line,
    named,
    new_id,
    push,
    stored,
    tied,
    total,
)
from tests.support.clock import Clock

pytestmark = every_engine

MINUTE = 60 * SECOND
TRIED = State(attempt=1, history=b'{"at":1,"cause":"error"}')
RULE = Rule("k", 1, MINUTE)


def expiry(engine: Engine, id: str) -> int:
    """When the job expires, as both `find` and a page say."""
    found = stored(engine, id)
    (listed,) = (one for one in engine.page(found.status).jobs if one.id == id)
    assert listed.expires_at == found.expires_at
    return found.expires_at


def test_the_time_counts_from_when_the_job_is_due(engine: Engine, clock: Clock) -> None:
    some = [
        Push(new_id(), "q", b"plain"),
        Push(new_id(), "q", b"now", expires=MINUTE),
        Push(new_id(), "q", b"later", delay=HOUR, expires=MINUTE),
        Push(new_id(), "q", b"at", at=clock.now + 2 * HOUR, expires=1),
        Push(new_id(), "q", b"past", at=clock.now - HOUR, expires=MINUTE),
        Push(new_id(), "other", b"never", delay=HOUR),
    ]
    now = clock.now
    engine.push(some)
    found = [expiry(engine, one.id) for one in some]
    assert found == [0, now + MINUTE, now + HOUR + MINUTE, now + 2 * HOUR + 1, now + MINUTE, 0]
    for one in some:
        engine.cancel([one.id])
    for one in some:
        engine.push([one])
    assert [expiry(engine, one.id) for one in some] == found, "each pushed alone"


def test_a_claim_says_when_its_job_expires_and_its_step_what_time_it_is(
    engine: Engine, worker: Worker, clock: Clock
) -> None:
    """The engine hands out expired jobs, too, in their turn, so that workers settle them."""
    push(engine, "a", expires=MINUTE)
    push(engine, "plain")
    push(engine, "b", expires=HOUR)
    begun = clock.now
    clock.forward(2 * MINUTE)
    step = worker.step(want=9)
    assert named(step.claims) == ["a", "plain", "b"]
    assert [claim.expires_at for claim in step.claims] == [begun + MINUTE, 0, begun + HOUR]
    assert [claim.state for claim in step.claims] == [State()] * 3
    assert step.now == clock.now
    clock.forward(MINUTE)
    again = worker.again(want=9)
    assert again.claims == step.claims
    assert again.now == clock.now
    assert worker.step(want=1).now == clock.now, "without a claim"


def test_an_expired_job_is_deleted_and_counted_once(
    engine: Engine, worker: Worker, clock: Clock
) -> None:
    first, second = push(engine, "a", "b", expires=MINUTE)
    clock.forward(MINUTE)
    claims = worker.claim(2)
    settlements = [Settlement(claim, EXPIRE) for claim in claims]
    assert worker.step(*settlements).stale == []
    assert worker.again(*settlements).stale == []
    assert engine.find(first) is engine.find(second) is None
    assert count_of(engine) == QueueCounts("q")
    assert worker.step(settlements[0]).stale == [first]
    assert worker.step(*settlements).stale == [first, second]
    assert engine.totals()["q"]["expired"] == sum(engine.totals()["q"].values()) == 2


LEFT: dict[str, Outcome] = {
    "release": Release(0, TRIED),
    "delay": Release(HOUR, TRIED),
    "until": ReleaseUntil(2**60, TRIED, RULE),
    "until now": ReleaseUntil(1, TRIED, RULE),
    "back": GIVE_BACK,
    "park": Park((RULE,), 0),
    "failing": Failing(TRIED._replace(failing=1)),
}


@pytest.mark.parametrize("outcome", LEFT.values(), ids=LEFT)
def test_a_job_that_comes_back_keeps_its_time(
    engine: Engine, worker: Worker, clock: Clock, outcome: Outcome
) -> None:
    begun = clock.now
    (pushed,) = push(engine, "a", expires=HOUR)
    for _ in range(2):
        (claim,) = worker.claim()
        worker.end(claim, Release(0, TRIED))
        clock.forward(SECOND)
    (claim,) = worker.claim()
    assert (claim.state, claim.expires_at) == (TRIED, begun + HOUR)
    worker.end(claim, outcome)
    assert expiry(engine, pushed) == begun + HOUR
    engine.move([pushed], "other")
    assert expiry(engine, pushed) == begun + HOUR


DEATHS = {
    "unknown": None,
    "crash": died(started=0),
    "timeout": DeathReport(1, 0, 0, line("timeout"), "timeout", HOUR),
    "returned": DeathReport(1, 0, 0, line("returned"), "returned"),
    "not started": died(),
}


@pytest.mark.parametrize("death", DEATHS.values(), ids=DEATHS)
def test_a_job_of_a_dead_worker_keeps_its_time(
    engine: Engine, worker: Worker, clock: Clock, death: DeathReport | None
) -> None:
    begun = clock.now
    (pushed,) = push(engine, "a", expires=MINUTE)
    worker.claim()
    clock.forward(SECOND)
    engine.recover("w1", death)
    assert expiry(engine, pushed) == begun + MINUTE
    clock.forward(HOUR)
    (claim,) = Worker(engine, "w2").claim()
    assert (claim.id, claim.expires_at) == (pushed, begun + MINUTE)


def test_a_failed_job_does_not_expire_and_has_as_long_again_after_a_retry(
    engine: Engine, worker: Worker, clock: Clock
) -> None:
    (pushed,) = push(engine, "a", expires=MINUTE)
    (plain,) = push(engine, "plain")
    for _ in range(2):
        for claim in worker.claim(2):
            worker.end(claim, Failing(TRIED))
            worker.end(claim, Bury(TRIED, MINUTE if claim.id == pushed else 0))
        assert [expiry(engine, id) for id in (pushed, plain)] == [0, 0]
        clock.forward(HOUR)
        engine.move([pushed], "q")
        assert engine.retry([pushed, plain]) == [pushed, plain]
        assert [expiry(engine, id) for id in (pushed, plain)] == [clock.now + MINUTE, 0]
        assert stored(engine, pushed).state == State()


def test_a_retry_with_another_body_may_give_it_another_time(
    engine: Engine, worker: Worker, clock: Clock
) -> None:
    ids = push(engine, "a", "b", "c", expires=MINUTE) + push(engine, "d")
    for claim in worker.claim(4):
        worker.end(claim, Bury(TRIED, MINUTE))
    bodies = dict.fromkeys(ids[1:], b"new")
    engine.retry(ids, bodies, {ids[0]: HOUR, ids[1]: 0, ids[2]: HOUR})
    expected = [clock.now + MINUTE, 0, clock.now + HOUR, clock.now + MINUTE]
    assert [expiry(engine, id) for id in ids] == expected


def test_a_parked_job_that_has_expired_takes_no_slot(
    engine: Engine, worker: Worker, clock: Clock
) -> None:
    assert engine.admit([RULE]).wait == 0
    late, live = push(engine, "late", expires=SECOND) + push(engine, "live", expires=MINUTE + 1)
    for claim in worker.claim(2):
        worker.end(claim, Park((RULE,), 0))
    clock.forward(MINUTE)
    first = worker.step(want=1)
    assert [(claim.id, claim.admitted) for claim in first.claims] == [(late, False)]
    assert worker.again(want=1).claims == first.claims
    assert first.claims[0].expires_at <= first.now
    assert [use.window.used for use in engine.limits()] == [0]
    second = worker.step(Settlement(first.claims[0], EXPIRE), want=1)
    assert [(claim.id, claim.admitted) for claim in second.claims] == [(live, True)]
    assert count_of(engine).parked == 0
    assert total(engine, "expired") == 1


def test_a_cancelled_job_does_not_expire(engine: Engine, worker: Worker, clock: Clock) -> None:
    claim = worker.take("a", expires=MINUTE)
    clock.forward(MINUTE)
    engine.request_cancel([claim.id], 0)
    assert worker.step(Settlement(claim, EXPIRE)).stale == [claim.id]
    assert engine.find(claim.id) is None
    assert (total(engine, "expired"), total(engine, "cancelled")) == (0, 1)


def test_a_job_with_a_unique_key_expires_too(engine: Engine, worker: Worker, clock: Clock) -> None:
    first, rival = tied("first", delay=HOUR, expires=MINUTE), tied("rival", expires=MINUTE)
    plain = tied("plain", "", expires=SECOND)
    assert engine.push([first, rival, plain]) == [first.id, first.id, plain.id]
    begun = clock.now
    assert expiry(engine, first.id) == begun + HOUR + MINUTE
    assert expiry(engine, plain.id) == begun + SECOND
    clock.forward(HOUR)
    claims = worker.claim(2)
    assert named(claims) == ["plain", "first"]
    assert [claim.expires_at for claim in claims] == [begun + SECOND, begun + HOUR + MINUTE]
    for claim in claims:
        worker.end(claim, EXPIRE)
    assert engine.push([rival]) == [rival.id], "its key is free"


@pytest.mark.parametrize("replaces", [False, True])
@pytest.mark.parametrize("place", ["ready", "parked", "running"])
def test_nobody_gives_way_to_a_job_that_has_expired(
    engine: Engine, worker: Worker, clock: Clock, place: str, replaces: bool
) -> None:
    """It would never run, nor would the other. One that runs has started in time."""
    late = tied("late", expires=MINUTE)
    next_one = tied("next", expires=HOUR, replaces=replaces)
    engine.push([late])
    if place != "ready":
        (claim,) = worker.claim()
    if place == "parked":
        assert engine.admit([RULE]).wait == 0
        worker.end(claim, Park((RULE,), 0))
    clock.forward(MINUTE)
    if place == "running":
        assert engine.push([next_one]) == [late.id]
        assert total(engine, "skipped") == 1
        worker.end(claim)
    assert engine.push([next_one]) == [next_one.id]
    assert total(engine, "skipped") == (place == "running")
    for claim in [claim for _ in range(2) for claim in worker.claim(2)]:
        worker.end(claim, EXPIRE if claim.id == late.id else GIVE_BACK)
    assert engine.push([tied("rival")]) == [next_one.id], "it has kept the key"
    assert total(engine, "replaced") + total(engine, "expired") == (place != "running")
