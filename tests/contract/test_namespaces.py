"""Two applications on one server do not see each other."""

from __future__ import annotations

import pytest

from poolq.engines.base import Engine, QueueCounts, Recovered
from poolq.errors import Fenced
from poolq.jobs.limits import Rule
from tests.contract.conftest import OpenEngine
from tests.contract.helpers import HOUR, Worker, bury, count_of, full, named, park, push


@pytest.fixture(params=["x", "_x"])
def neighbour(request: pytest.FixtureRequest, engine: Engine, opened: OpenEngine) -> Engine:
    """The same server; its namespace's name begins with that of the other one."""
    return opened(engine.url, engine.namespace + request.param, migrate=True)


def test_jobs_are_one_namespaces(engine: Engine, neighbour: Engine, worker: Worker) -> None:
    (ours,) = push(engine, "ours")
    (theirs,) = push(neighbour, "theirs")
    assert engine.find(theirs) is None
    assert engine.cancel([theirs]) == engine.move([theirs], "r") == []
    assert engine.ids(theirs) == []
    assert engine.purge("r") == 0
    assert count_of(engine) == count_of(neighbour) == QueueCounts("q", ready=1)
    assert named(worker.claim(9, None)) == ["ours"]
    stranger = Worker(neighbour)
    assert named(stranger.claim(9, None)) == ["theirs"]
    assert neighbour.find(ours) is None


def test_workers_and_nodes_are_one_namespaces(engine: Engine, neighbour: Engine) -> None:
    worker = Worker(engine)
    claim = worker.take("a")
    counter = engine.beat("n1", b"")["n1"]
    with pytest.raises(Fenced):
        neighbour.step("w1", 9, [], 1, None)
    assert neighbour.registered() == []
    assert neighbour.nodes() == []
    assert neighbour.beat("n2", b"") == {"n2": neighbour.nodes()[0].beat}
    assert neighbour.recover("w1", None) == Recovered()
    assert neighbour.reap("n1", counter) is None
    worker.end(claim)


def test_failed_jobs_are_one_namespaces(engine: Engine, neighbour: Engine, worker: Worker) -> None:
    failed = bury(worker)
    assert neighbour.failed() == []
    assert neighbour.forget([failed]) == []
    assert neighbour.retry([failed]) == []
    assert neighbour.totals() == {}
    assert len(engine.failed()) == 1


def test_limits_and_parked_jobs_are_one_namespaces(
    engine: Engine, neighbour: Engine, worker: Worker
) -> None:
    rule = full(engine)
    park(worker, "a", rules=[rule])
    assert neighbour.limits() == []
    assert neighbour.admit([Rule("mail", 1, HOUR)]).wait == 0
    assert Worker(neighbour).claim(9, None) == []


def test_pauses_and_purges_are_one_namespaces(
    engine: Engine, neighbour: Engine, worker: Worker
) -> None:
    neighbour.pause("q")
    push(engine, "a")
    push(neighbour, "b")
    assert neighbour.purge("q") == 1
    assert engine.counts()[0].paused is False
    assert named(worker.claim(9, None)) == ["a"]


def test_wakes_are_one_namespaces(engine: Engine, neighbour: Engine) -> None:
    push(engine, "a")
    engine.wake(None)
    assert neighbour.wait(["q"], 0.03) == 0
    assert neighbour.wait(None, 0.03) == 0
    assert engine.wait(["q"], 1) > 0
