"""`wait` ends when a job may be claimed, including one that becomes due in the meantime."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from poolq.engines.base import Engine
from poolq.jobs.message import State
from poolq.jobs.outcomes import Park, Release
from tests.contract.conftest import OpenEngine
from tests.contract.helpers import HOUR, MS, Worker, every_engine, full, park, push
from tests.contract.waiters import LONG, SHORT, quiet, waiting, woken_for
from tests.support.servers import Redis
from tests.support.wait import until


@every_engine
def test_wait_ends_with_nothing_after_its_time(engine: Engine) -> None:
    began = time.monotonic()
    assert engine.wait(["q"], 0.1) == 0
    assert engine.wait(None, 0.1) == 0
    assert time.monotonic() - began > 0.19


@every_engine
@pytest.mark.parametrize("queues", [["q"], ["r", "q"], None], ids=str)
def test_a_push_from_elsewhere_wakes_the_waiter(
    engine: Engine, other: Engine, threads: ThreadPoolExecutor, queues: list[str] | None
) -> None:
    push(engine, "before")
    assert Worker(engine).drain() == ["before"]
    quiet(engine, queues)
    future = waiting(threads, other, LONG, queues)
    push(engine, "a")
    assert future.result(60) > 0


@every_engine
def test_a_push_to_another_queue_wakes_nobody(engine: Engine) -> None:
    push(engine, "a", queue="r")
    assert engine.wait(["q"], SHORT) == 0
    assert engine.wait(["r"], SHORT) > 0


@every_engine
@pytest.mark.parametrize("delay", [0, 60 * MS])
def test_a_new_queue_wakes_the_waiter(
    engine: Engine, other: Engine, threads: ThreadPoolExecutor, worker: Worker, delay: int
) -> None:
    push(engine, "far", queue="old", delay=HOUR)
    quiet(engine, None)
    future = waiting(threads, other, LONG, None)
    push(engine, "a", queue="new", delay=delay)
    assert future.result(60) > 0
    assert until(lambda: worker.claim(1, None))[0].body == b"a"


@every_engine
@pytest.mark.parametrize("way", ["push", "release", "park", "resume"])
def test_what_is_put_off_while_one_waits_wakes_it_when_it_is_due(
    engine: Engine, other: Engine, threads: ThreadPoolExecutor, worker: Worker, way: str
) -> None:
    rule = full(engine, window=150 * MS)
    claim = worker.take("a")
    push(engine, "far", delay=HOUR)
    if way == "resume":
        engine.pause("q")
        push(engine, "b", delay=100 * MS)
    quiet(engine)
    future = waiting(threads, other, LONG, ["q"])
    match way:
        case "push":
            push(engine, "b", delay=100 * MS)
        case "release":
            worker.end(claim, Release(100 * MS, State(1)))
        case "park":
            worker.end(claim, Park((rule,), 0))
        case "resume":
            engine.resume("q")
    assert future.result(60) > 0
    assert woken_for(engine, worker)


@every_engine
def test_a_wait_that_begins_after_a_delayed_push_ends_when_it_is_due(
    engine: Engine, worker: Worker
) -> None:
    push(engine, "b", delay=HOUR)
    push(engine, "a", delay=60 * MS)
    assert woken_for(engine, worker).body == b"a"
    quiet(engine)


@every_engine
def test_a_parked_job_wakes_the_waiter_when_its_slot_comes(engine: Engine, worker: Worker) -> None:
    park(worker, "a", rules=[full(engine, window=100 * MS)])
    assert woken_for(engine, worker).admitted


@every_engine
def test_a_delayed_or_parked_job_far_off_wakes_nobody(engine: Engine, worker: Worker) -> None:
    park(worker, "a", rules=[full(engine)])
    push(engine, "b", delay=HOUR)
    quiet(engine)
    for _ in range(3):
        assert worker.claim() == []
        assert engine.wait(["q"], SHORT) == 0


def test_a_wait_may_be_longer_than_a_socket_may_be_silent(
    redis_server: Redis, namespace: str, opened: OpenEngine
) -> None:
    assert opened(redis_server.url, namespace).wait(["q"], 5.3) == 0
