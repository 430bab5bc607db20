"""Due times follow the server's clock, to the microsecond; no job is early."""

from __future__ import annotations

import pytest

from poolq.engines.base import Claim, Engine, Push
from poolq.jobs.message import State
from poolq.jobs.outcomes import GIVE_BACK, Bury, Release
from tests.contract.helpers import HOUR, MS, SECOND, Worker, named, new_id, push, stored
from tests.support.clock import Clock
from tests.support.wait import until


def test_a_job_for_a_moment_is_due_exactly_then(engine: Engine, worker: Worker) -> None:
    moment = engine.now() + HOUR + 1
    (pushed,) = push(engine, "a", at=moment, delay=5)
    assert stored(engine, pushed).at == moment
    assert worker.claim() == []


def test_jobs_that_came_due_are_claimed_in_the_order_of_their_due_times(
    engine: Engine, worker: Worker, clock: Clock
) -> None:
    moments = [clock.now + 1 + (n * 37 % 50) * 100 for n in range(50)]
    engine.push([Push(new_id(), "q", str(at).encode(), 0, at) for at in moments])
    clock.forward(SECOND)
    first = worker.claim(20)
    assert named(first + worker.claim(50)) == sorted(map(str, moments))


def test_a_due_job_of_a_paused_queue_is_not_claimed(
    engine: Engine, worker: Worker, clock: Clock
) -> None:
    push(engine, "a", delay=SECOND)
    engine.pause("q")
    clock.forward(SECOND)
    assert worker.step(want=1)[:2] == ([], [])


@pytest.mark.parametrize("way", ["recover", "reap", "give back"])
def test_what_comes_back_is_claimed_soon_though_the_queue_never_runs_dry(
    engine: Engine, other: Engine, worker: Worker, way: str
) -> None:
    """It comes back through another process, so an engine may find it a moment later. But a killed
    worker's job is promised to start again within a second, in which there are 40 looks here."""
    victim = Worker(other, "w2", "n2")
    claim = victim.take("early")
    names = [str(n) for n in range(1500)]
    push(engine, *names)
    claimed = named(worker.claim(5)) + named(worker.claim(5))
    match way:
        case "recover":
            other.recover("w2", None)
        case "reap":
            other.reap("n2", other.beat("n2", b"")["n2"])
        case "give back":
            victim.end(claim, GIVE_BACK)

    def came() -> bool:
        claimed.extend(named(worker.claim()))
        return claimed[-1] == "early"

    until(came, what="the early one")
    assert len(claimed) <= 10 + 50
    assert claimed[:-1] == names[: len(claimed) - 1]


@pytest.mark.parametrize("way", ["at", "delay", "retry"])
def test_what_is_pushed_from_elsewhere_is_found_whatever_its_due_time(
    engine: Engine, other: Engine, worker: Worker, way: str
) -> None:
    victim = Worker(other, "w2", "n2")
    (failed,) = push(engine, "late")
    victim.end(victim.claim()[0], Bury(State(1)))
    push(engine, *map(str, range(100)))
    assert len(worker.claim(50)) == 50
    match way:
        case "at":
            push(other, "late", at=other.now() - HOUR)
        case "delay":
            push(other, "late", delay=1)
        case "retry":
            other.retry([failed])
    push(engine, *map(str, range(100)))
    claimed = [name for _ in range(20) for name in named(worker.claim(20))]
    assert (len(claimed), claimed.count("late")) == (151, 1)


def test_a_step_reports_how_long_its_first_job_has_been_due(engine: Engine, worker: Worker) -> None:
    def claim(earliest: int, latest: int) -> Claim:
        """Claim a job that was due between these moments."""
        until(lambda: engine.now() > latest, 5, "a job that is due")
        before = engine.now()
        step = worker.step(want=5)
        assert before - latest <= step.waited <= engine.now() - earliest
        return step.claims[0]

    assert worker.step(want=5).waited == -1
    begun = engine.now()
    push(engine, "a", "b")
    pushed = claim(begun, pushed_at := engine.now())
    worker.end(pushed, GIVE_BACK)
    returned = claim(begun, pushed_at)
    begun = engine.now()
    worker.end(returned, Release(20 * MS, State(1), "retried"))
    retried = claim(begun + 20 * MS, engine.now() + 20 * MS)
    worker.end(retried)
    moment = engine.now() + 20 * MS
    push(engine, "c", at=moment)
    claim(moment, max(moment, engine.now()))
