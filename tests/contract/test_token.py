"""The wake token: one waiter learns what is ready, and none spins on what is not."""

from __future__ import annotations

from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait

import pytest

from poolq.engines.base import Engine
from poolq.jobs.message import State
from poolq.jobs.outcomes import GIVE_BACK, Bury, Outcome, Release
from tests.contract.conftest import OpenEngine
from tests.contract.helpers import Worker, died, kind, push
from tests.contract.waiters import LONG, SHORT, quiet, waiting


def test_one_token_wakes_one_waiter(
    engine: Engine,
    worker: Worker,
    other: Engine,
    opened: OpenEngine,
    threads: ThreadPoolExecutor,
) -> None:
    third = opened(engine.url, engine.namespace)
    for _ in range(2):  # the second time, they know the queue
        futures = [waiting(threads, one, LONG, ["q"]) for one in (other, third)]
        push(engine, "a")
        ended, still = wait(futures, 60, FIRST_COMPLETED)
        assert [future.result() > 0 for future in ended] == [True]
        (waits,) = still
        with pytest.raises(TimeoutError):
            waits.result(0.4)
        assert worker.drain() == ["a"]
        push(engine, "b")
        assert waits.result(60) > 0
        assert worker.drain() == ["b"]
        quiet(other)
        quiet(third)


def test_a_taken_token_is_put_back_by_wake(engine: Engine, other: Engine) -> None:
    push(engine, "a")
    assert engine.wait(["q"], 1) > 0
    assert other.wait(["q"], SHORT) == 0
    engine.wake(["q"])
    assert other.wait(["q"], 1) > 0
    engine.wake(None)
    assert other.wait(None, 1) > 0
    engine.wake(None)
    assert other.wait(["q"], 1) > 0
    engine.wake(["q"])
    assert other.wait(None, 1) > 0


def test_a_step_leaves_a_token_while_ready_jobs_remain(engine: Engine, worker: Worker) -> None:
    push(engine, "a", "b", "c")
    quiet(engine)
    worker.claim(1)
    assert engine.wait(["q"], 1) > 0
    assert engine.wait(["q"], SHORT) == 0
    worker.claim(2)
    assert engine.wait(["q"], SHORT) == 0


def test_a_step_with_nothing_to_give_leaves_no_token(engine: Engine, worker: Worker) -> None:
    for _ in range(3):
        worker.claim(1)
        assert engine.wait(["q"], SHORT) == 0


def test_a_token_for_a_job_that_is_gone_is_one_false_alarm_at_most(
    engine: Engine, worker: Worker
) -> None:
    push(engine, "a", "b")
    worker.drain()
    assert [engine.wait(["q"], SHORT) > 0 for _ in range(3)].count(True) <= 1


@pytest.mark.parametrize("outcome", [Release(0, State(1)), GIVE_BACK], ids=kind)
def test_a_job_that_goes_back_wakes_a_waiter(
    engine: Engine, worker: Worker, outcome: Outcome
) -> None:
    """Even if another job is ready, and a waiter already knows."""
    claim = worker.take("a")
    push(engine, "told")
    quiet(engine)
    worker.end(claim, outcome)
    assert engine.wait(["q"], 1) > 0


def test_a_job_that_ends_wakes_nobody(engine: Engine, worker: Worker) -> None:
    first, second = worker.take_all("a", "b")
    quiet(engine)
    worker.end(first)
    worker.end(second, Bury(State(1)))
    assert engine.wait(["q"], SHORT) == 0


@pytest.mark.parametrize("way", ["recover", "reap", "retry"])
def test_a_job_that_others_bring_back_wakes_a_waiter(
    engine: Engine, worker: Worker, way: str
) -> None:
    claim = worker.take("a")
    if way == "retry":
        worker.end(claim, Bury(State(1)))
    push(engine, "told")
    quiet(engine)
    match way:
        case "recover":
            engine.recover("w1", died(started=0))
        case "reap":
            engine.reap("n1", engine.beat("n1", b"")["n1"])
        case "retry":
            engine.retry([claim.id])
    assert engine.wait(["q"], 1) > 0


def test_a_paused_queue_wakes_nobody_until_it_is_resumed(engine: Engine, worker: Worker) -> None:
    """A waiter that is woken, lets a worker step in vain, and waits again must come to rest."""
    engine.pause("q")
    push(engine, "a", "b")
    alarms = 0
    for _ in range(4):
        alarms += engine.wait(["q"], SHORT) > 0
        alarms += engine.wait(None, SHORT) > 0
        assert worker.claim() == []
    assert alarms <= 1
    engine.resume("q")
    assert engine.wait(["q"], 1) > 0
    assert worker.claim()[0].body == b"a"


def test_a_resumed_queue_has_a_token_for_what_it_held_back(engine: Engine) -> None:
    push(engine, "a")
    quiet(engine)
    engine.pause("q")
    quiet(engine)
    engine.resume("q")
    assert engine.wait(["q"], 1) > 0


def test_a_resumed_queue_wakes_one_who_waits_already(
    engine: Engine, other: Engine, threads: ThreadPoolExecutor
) -> None:
    engine.pause("q")
    push(engine, "a")
    quiet(engine)
    future = waiting(threads, other, 5, None)
    engine.resume("q")
    assert future.result(60) > 0
