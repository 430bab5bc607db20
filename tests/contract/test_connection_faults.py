"""The connection to the server breaks or falls silent, at every possible point: no job is lost,
orphaned or doubled, whichever request did not arrive or got no reply."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Barrier

import pytest

from poolq.engines.base import Engine, Push, QueueCounts, Settlement
from poolq.errors import EngineUnavailable
from poolq.jobs.limits import Rule
from poolq.jobs.outcomes import ACK
from tests.contract.conftest import OpenEngine
from tests.contract.faulty_proxy import FailurePoint, FaultyProxy
from tests.contract.helpers import HOUR, Worker, count_of, died, named, new_id, push, stored, total
from tests.support.wait import until

BOUND = 120  # seconds; a socket's timeout is 5, and nothing else is waited for
MIB = 1 << 20


@pytest.fixture
def engine(proxy: FaultyProxy, namespace: str, opened: OpenEngine) -> Engine:
    """An engine whose connection to the server can be broken."""
    return opened(proxy.url, namespace, migrate=True)


def test_a_push_that_may_have_been_stored_says_so(proxy: FaultyProxy, engine: Engine) -> None:
    was_stored = set()
    for point in proxy.failure_points():
        one = Push(new_id(), "q", b"a")
        engine.counts()
        error = proxy.failing(partial(engine.push, [one]), point)
        found = engine.find(one.id) is not None
        if error is None:
            assert found
        else:
            assert error.ids == (one.id,)
            assert error.maybe_stored or not found
            was_stored.add(found)
        assert count_of(engine) == QueueCounts("q", ready=int(found))
        assert engine.cancel([one.id]) == [one.id] * found
    assert True in was_stored, "the jobs are stored where the last reply is lost"


@pytest.mark.parametrize("nth", [1, 2, 50, 150, 280])
def test_an_error_of_a_long_push_tells_the_ids_that_are_not_stored_yet(
    proxy: FaultyProxy, engine: Engine, nth: int
) -> None:
    bodies = [bytes([number]) * MIB for number in range(18)]  # one that all share is sent once
    pushes = [Push(new_id(), "q", body) for body in bodies]
    engine.counts()
    error = proxy.failing(partial(engine.push, pushes), FailurePoint(nth, delivered=False))
    assert error is not None
    left = set(error.ids)
    there = {one.id for one in pushes if engine.find(one.id) is not None}
    assert {one.id for one in pushes} - left <= there, "what is not named is stored"
    assert error.maybe_stored or not left & there
    engine.purge("q")


def test_a_step_can_be_repeated_whatever_happened_to_it(
    proxy: FaultyProxy, engine: Engine, worker: Worker
) -> None:
    for rounds, point in enumerate(proxy.failure_points(), 1):
        push(engine, "a", "b", "c")
        done = Settlement(worker.claim()[0], ACK)
        proxy.failing(partial(worker.step, done, want=1), point)
        step = worker.again(done, want=1)
        assert (named(step.claims), step.stale) == (["b"], [])
        assert count_of(engine) == QueueCounts("q", ready=1, running=1)
        worker.end(step.claims[0])
        assert worker.drain() == ["c"]
        assert total(engine, "done") == 3 * rounds


def test_a_recovery_happens_once(proxy: FaultyProxy, engine: Engine) -> None:
    for rounds, point in enumerate(proxy.failure_points(), 1):
        worker = Worker(engine, f"w{rounds}")
        push(engine, "a", "b", "c")
        worker.claim(3)
        recover = partial(engine.recover, worker.name, died(finished=1, started=1))
        if proxy.failing(recover, point):
            recover()
        assert engine.registered() == []
        heir = Worker(engine, "heir")
        claims = heir.claim(9)
        assert [(claim.body, claim.state.crashes) for claim in claims] == [(b"b", 1), (b"c", 0)]
        assert total(engine, "crashed") == rounds
        heir.step(*(Settlement(claim, ACK) for claim in claims))
        engine.recover("heir", None)
        assert total(engine, "done") == 3 * rounds


def test_a_lost_admission_gives_no_slot_too_many(proxy: FaultyProxy, engine: Engine) -> None:
    rule, given = Rule("k", 60, HOUR), 0
    for point in proxy.failure_points():
        engine.now()
        given += proxy.failing(partial(engine.admit, [rule]), point) is None
    assert given <= engine.limits()[0].window.used
    while engine.admit([rule]).wait == 0:
        given += 1
    assert given <= rule.limit


def test_a_connection_cut_while_idle_is_replaced_before_a_push(
    proxy: FaultyProxy, engine: Engine
) -> None:
    """After idling for a second: nothing was sent on it, so nothing is in doubt, and the producer
    need not know."""
    engine.now()
    proxy.cut_connections()
    cut = time.monotonic()
    until(lambda: time.monotonic() > cut + 1.1, what="a second of silence")
    (pushed,) = push(engine, "a")
    assert stored(engine, pushed).status == "ready"


def test_a_silent_connection_is_given_up_in_time(
    proxy: FaultyProxy, engine: Engine, worker: Worker, opened: OpenEngine
) -> None:
    """All at once: operations on connections that worked so far, and one that is being opened."""
    push(engine, "a")
    warm, silent = Barrier(5), Barrier(5)

    def timed(act: Callable[[Engine], object]) -> float:
        mine = opened(proxy.url, engine.namespace)
        mine.now()
        warm.wait(60)
        silent.wait(60)
        began = time.monotonic()
        with pytest.raises(EngineUnavailable):
            act(mine)
        mine.close()
        return time.monotonic() - began

    acts: list[Callable[[Engine], object]] = [
        lambda mine: mine.step("w1", 1, [], 1, ["q"]),
        lambda mine: push(mine, "b"),
        lambda mine: mine.admit([Rule("k", 1, HOUR)]),
        lambda mine: mine.wait(["q"], 1),
    ]
    with ThreadPoolExecutor(len(acts)) as threads:
        running = [threads.submit(timed, act) for act in acts]
        warm.wait(60)
        proxy.blackhole()
        fresh = opened(proxy.url, engine.namespace)
        silent.wait(60)
        began = time.monotonic()
        with pytest.raises(EngineUnavailable):
            fresh.now()
        assert time.monotonic() - began < BOUND
        assert max(one.result(120) for one in running) < BOUND
    proxy.heal()
    worker.request = 1
    assert named(worker.again(want=1).claims) == ["a"]
