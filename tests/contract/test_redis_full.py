"""A full server refuses nothing but new jobs: pools start and live on it, and drain it."""

from __future__ import annotations

import pytest

from poolq.cli.stored import doctor
from poolq.engines.base import Check, Push, Settlement
from poolq.engines.schedule_store import NewSchedule, Tick
from poolq.errors import EngineFull, EngineUnavailable
from poolq.jobs.limits import Rule
from poolq.jobs.message import State
from poolq.jobs.outcomes import Bury, Park, Release
from poolq.jobs.unique import UniqueKey
from tests.conftest import OwnRedis
from tests.contract.conftest import OpenEngine
from tests.contract.helpers import HOUR, Worker, bury, new_id, push
from tests.support.servers import Redis, Valkey

RULE = Rule("k", 1, HOUR)


class Full:
    """Something of each kind in a server that has no memory left, whatever is freed."""

    def __init__(self, server: Redis, opened: OpenEngine, namespace: str) -> None:
        self.engine = opened(server.url, namespace)
        self.store, self.worker = self.engine.schedules, Worker(self.engine)
        self.failed = [bury(self.worker, "a"), bury(self.worker, "b")]
        self.ready = push(self.engine, *"cdefghi")
        self.store.put(NewSchedule("old", "1", b"spec", 1))
        with server.client() as client:
            client.config_set("maxmemory", "1")

    def tick(self) -> object:
        job = Push(new_id(), "q", b"a")
        return self.store.tick([Tick("old", "1", 1, 2, "allow", 1, [job])])


@pytest.fixture(params=[Redis, Valkey])
def full(
    request: pytest.FixtureRequest, own_redis: OwnRedis, namespace: str, opened: OpenEngine
) -> Full:
    return Full(own_redis(request.param, durable=False), opened, namespace)


def test_new_jobs_are_refused(full: Full) -> None:
    unique = Push(new_id(), "q", b"a", unique=UniqueKey("k", "end"))
    for refused in (
        lambda: push(full.engine, "a"),
        lambda: push(full.engine, "a", expires=HOUR),
        lambda: full.engine.push([unique]),
    ):
        with pytest.raises(EngineUnavailable, match="is full"):
            refused()
    with pytest.raises(EngineFull):
        full.tick()


def test_doctor_says_so(full: Full) -> None:
    checks: list[Check] = []
    assert doctor.examine(full.engine, checks) == 1
    assert [one.level for one in checks if one.name == "writable"] == ["bad"]


def test_schedules_are_declared_and_changed(full: Full) -> None:
    store = full.store
    assert full.engine.prepare() == []
    full.engine.beat("n1", b"{}")
    assert store.declare("n1", 1, [NewSchedule("new", "2", b"spec", 1)]) == []
    assert sorted(one.name for one in store.look(9).due) == ["new", "old"]
    assert store.pause("old")
    assert store.resume("old", 5)
    assert store.remove("old") == "removed"
    assert store.put(NewSchedule("third", "3", b"spec", 1)) == "added"


def test_pools_live(full: Full) -> None:
    engine, worker, other = full.engine, full.worker, Worker(full.engine, "w2", "n2")
    assert engine.beat("n1", b"{}").keys() == {"n1", "n2"}
    first, second = worker.claim(2)
    assert engine.admit([RULE], ("w1", first)).wait == 0
    assert engine.admit([RULE], ("w1", second)).wait > 0
    ends = Park((RULE,), 0), Release(HOUR, State(1))
    worker.step(*map(Settlement, (first, second), ends))
    (third,) = other.claim()
    assert engine.request_cancel([third.id], 0) == [third.id]
    (fourth,) = other.claim()
    recovered = engine.reap("n2", engine.beat("n2", b"{}")["n2"])
    assert recovered is not None
    assert recovered.cancelled == (third.id,)
    worker.end(worker.claim()[0], Bury(State(1)))
    assert engine.wait(["q"], 0) > 0
    assert engine.recover("w1", None).done == ()
    engine.sweep(0)
    assert fourth.id not in [job.id for job in engine.page("ready").jobs]


def test_people_can_free_memory(full: Full) -> None:
    engine, ready = full.engine, full.ready
    engine.hold("k", HOUR)
    assert engine.lift("k")
    engine.set_limit("k", HOUR, 2)
    assert engine.reset_limit("k", HOUR, True)
    assert engine.forget(full.failed[:1]) == full.failed[:1]
    assert engine.retry(full.failed) == full.failed[1:]
    assert engine.cancel(ready[3:5]) == ready[3:5]
    assert engine.move(ready[5:], "r") == ready[5:]
    engine.pause("r")
    assert engine.purge("r") == 2
    engine.resume("r")
    assert engine.purge("q") == 4
    with pytest.raises(EngineUnavailable, match="is full"):
        push(engine, "a")
