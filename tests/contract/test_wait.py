"""Waking up: `wait` is told of what may be claimed, once for one token, and never spins."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from poolq.engines.base import Engine, Settlement
from poolq.message import State
from poolq.retry import GIVE_BACK, Bury, Park, Release
from tests.contract.conftest import OpenEngine
from tests.contract.helpers import HOUR, MS, Worker, bury, died, full, kind, park, push
from tests.support.servers import Redis
from tests.support.wait import until

SHORT = 0.03  # seconds: long enough for the engine to look once


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as pool:
        yield pool


def waiting(
    threads: ThreadPoolExecutor, engine: Engine, timeout: float, queues: Sequence[str] | None
) -> Future[int]:
    """A keeper that waits in a thread, and has been seen to wait."""

    def wait() -> int:
        try:
            return engine.wait(queues, timeout)
        finally:
            engine.close()

    future = threads.submit(wait)
    with pytest.raises(TimeoutError):
        future.result(0.05)
    return future


def quiet(engine: Engine, queues: Sequence[str] | None = ("q",)) -> None:
    """Take what tokens there are."""
    until(lambda: engine.wait(queues, SHORT) == 0, 5, "an end of the tokens")


def test_wait_returns_at_once_when_something_is_ready(engine: Engine) -> None:
    push(engine, "a", "b", "c")
    began = time.monotonic()
    assert engine.wait(["q"], 5) > 0
    assert time.monotonic() - began < 1


def test_wait_ends_with_nothing_after_its_time(engine: Engine) -> None:
    began = time.monotonic()
    assert engine.wait(["q"], 0.1) == 0
    assert engine.wait(None, 0.1) == 0
    assert 0.19 < time.monotonic() - began < 2


@pytest.mark.parametrize("queues", [["q"], ["r", "q"], None], ids=str)
def test_a_push_from_elsewhere_wakes_the_waiter(
    engine: Engine, other: Engine, threads: ThreadPoolExecutor, queues: list[str] | None
) -> None:
    push(engine, "before")
    assert Worker(engine).drain() == ["before"]
    quiet(engine)
    future = waiting(threads, other, 5, queues)
    began = time.monotonic()
    push(engine, "a")
    assert future.result(5) > 0
    assert time.monotonic() - began < 1


def test_a_push_to_another_queue_wakes_nobody(engine: Engine) -> None:
    push(engine, "a", queue="r")
    assert engine.wait(["q"], SHORT) == 0
    assert engine.wait(["r"], SHORT) > 0


@pytest.mark.parametrize("delay", [0, 60 * MS])
def test_a_new_queue_wakes_the_waiter(
    engine: Engine, other: Engine, threads: ThreadPoolExecutor, worker: Worker, delay: int
) -> None:
    push(engine, "far", queue="old", delay=HOUR)
    quiet(engine, None)
    future = waiting(threads, other, 5, None)
    began = time.monotonic()
    push(engine, "a", queue="new", delay=delay)
    assert future.result(5) > 0
    assert until(lambda: worker.claim(1, None), 2)[0].body == b"a"
    assert time.monotonic() - began < 1.5


@pytest.mark.parametrize("way", ["push", "release", "park", "resume"])
def test_what_is_put_off_while_one_waits_wakes_it_when_it_is_due(
    engine: Engine, other: Engine, threads: ThreadPoolExecutor, worker: Worker, way: str
) -> None:
    rule = full(engine, window=150 * MS)
    push(engine, "a")
    (claim,) = worker.claim()
    push(engine, "far", delay=HOUR)
    if way == "resume":
        engine.pause("q")
        push(engine, "b", delay=100 * MS)
    quiet(engine)
    future = waiting(threads, other, 5, ["q"])
    began = time.monotonic()
    match way:
        case "push":
            push(engine, "b", delay=100 * MS)
        case "release":
            worker.end(claim, Release(100 * MS, State(1)))
        case "park":
            worker.end(claim, Park((rule,), 0))
        case "resume":
            engine.resume("q")
    assert future.result(5) > 0
    for _ in range(3):  # the first one may have been told of the change, not of the job
        if worker.claim():
            break
        assert engine.wait(["q"], 5) > 0
    else:
        raise AssertionError("woken again and again for nothing")
    assert time.monotonic() - began < 1.5


def test_a_wait_that_begins_after_a_delayed_push_ends_when_it_is_due(
    engine: Engine, worker: Worker
) -> None:
    push(engine, "b", delay=HOUR)
    push(engine, "a", delay=60 * MS)
    assert engine.wait(["q"], 5) > 0
    assert worker.claim_soon().body == b"a"
    assert engine.wait(["q"], SHORT) == 0


def test_a_parked_job_wakes_the_waiter_when_its_slot_comes(engine: Engine, worker: Worker) -> None:
    park(worker, "a", rules=[full(engine, window=100 * MS)])
    quiet(engine)
    assert engine.wait(["q"], 5) > 0
    assert worker.claim_soon().admitted


def test_a_delayed_or_parked_job_far_off_wakes_nobody(engine: Engine, worker: Worker) -> None:
    park(worker, "a", rules=[full(engine)])
    push(engine, "b", delay=HOUR)
    quiet(engine)
    for _ in range(3):
        assert worker.claim() == []
        assert engine.wait(["q"], SHORT) == 0


def test_one_token_wakes_one_waiter(
    engine: Engine, other: Engine, opened: OpenEngine, threads: ThreadPoolExecutor
) -> None:
    third = opened(engine.url, engine.namespace)
    futures = [waiting(threads, one, 0.5, ["q"]) for one in (other, third)]
    push(engine, "a")
    assert sorted(future.result(5) > 0 for future in futures) == [False, True]


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
    engine: Engine, worker: Worker, outcome: Release
) -> None:
    push(engine, "a")
    (claim,) = worker.claim()
    quiet(engine)
    worker.end(claim, outcome)
    assert engine.wait(["q"], 1) > 0
    (claim,) = worker.claim()
    quiet(engine)
    assert engine.settle("w1", [Settlement(claim, outcome)]) == []
    assert engine.wait(["q"], 1) > 0


def test_a_job_that_ends_wakes_nobody(engine: Engine, worker: Worker) -> None:
    push(engine, "a", "b")
    first, second = worker.claim(2)
    quiet(engine)
    worker.end(first)
    worker.end(second, Bury(State(1)))
    assert engine.wait(["q"], SHORT) == 0


def test_recovered_jobs_wake_a_waiter(engine: Engine, worker: Worker) -> None:
    push(engine, "a")
    worker.claim()
    quiet(engine)
    engine.recover("w1", died(started=0))
    assert engine.wait(["q"], 1) > 0


def test_reaped_jobs_wake_a_waiter(engine: Engine, worker: Worker) -> None:
    push(engine, "a")
    worker.claim()
    quiet(engine)
    engine.reap("n1", engine.beat("n1", b"")["n1"])
    assert engine.wait(["q"], 1) > 0


def test_a_retried_job_wakes_a_waiter(engine: Engine, worker: Worker) -> None:
    pushed = bury(worker)
    quiet(engine)
    engine.retry([pushed])
    assert engine.wait(["q"], 1) > 0


def test_a_paused_queue_wakes_nobody_until_it_is_resumed(engine: Engine, worker: Worker) -> None:
    """A waiter that is woken, lets a worker step in vain, and waits again, must come to rest."""
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
    assert future.result(5) > 0


def test_a_wait_may_be_longer_than_a_socket_may_be_silent(
    redis_server: Redis, namespace: str, opened: OpenEngine
) -> None:
    assert opened(redis_server.url, namespace).wait(["q"], 5.3) == 0
