"""The first pool that starts converts the data that poolq 0.1 has stored on Redis."""

from __future__ import annotations

import pytest
import redis

from poolq.engines.base import Engine
from poolq.jobs.message import State
from poolq.jobs.retry import Bury
from tests.contract.helpers import HOUR, Worker, count_of, named, new_id

pytestmark = pytest.mark.parametrize("engine_url", ["redis"], indirect=True)


class Old:
    """Writes data as poolq 0.1 did."""

    def __init__(self, client: redis.Redis, namespace: str) -> None:
        self.client = client
        self.head = f"{{{namespace}}}:"

    def body(self, name: str, due: int = 1) -> str:
        id = new_id()
        self.client.zadd(f"{self.head}queues", {"q": 0})
        self.client.hset(f"{self.head}bodies:{id[:10]}", id, f"{due} q\n{name}")
        return id

    def ready(self, name: str) -> str:
        id = self.body(name)
        self.client.rpush(f"{self.head}ready:q", id)
        return id

    def delayed(self, name: str, due: int) -> str:
        id = self.body(name, due)
        self.client.zadd(f"{self.head}delayed:q", {id: due})
        return id

    def failed(self, name: str) -> str:
        id = self.body(name)
        self.client.zadd(f"{self.head}failed:q", {id: 1})
        return id

    def parked(self, name: str, key: str, due: int) -> str:
        id = self.body(name, due)
        identity = f"{HOUR}:{key}"
        self.client.hset(f"{self.head}parkrules:q", id, f"1 2 {HOUR} {len(key)}:{key}")
        self.client.rpush(f"{self.head}park:1:q:{identity}", id)
        self.client.zadd(f"{self.head}parked:q", {identity: 0})
        return id


@pytest.fixture
def old(engine: Engine, client: redis.Redis) -> Old:
    return Old(client, engine.namespace)


def test_ready_delayed_and_failed_jobs(engine: Engine, old: Old) -> None:
    old.ready("a")
    old.delayed("b", 2)
    old.delayed("c", engine.now() + HOUR)
    kept = old.failed("d")
    assert engine.prepare() == []
    counts = count_of(engine)
    assert (counts.ready, counts.delayed, counts.failed) == (2, 1, 1)
    worker = Worker(engine, queues=None)
    assert named(worker.claim(9)) == ["a", "b"]
    assert [job.id for job in engine.failed()] == [kept]


def test_parked_jobs_keep_their_order(engine: Engine, old: Old, client: redis.Redis) -> None:
    for number in range(600):  # more than one batch
        old.parked(f"m{number}", "mail", number + 1)
    old.parked("other", "mail2", 1)
    engine.prepare()
    assert count_of(engine).parked == 601
    worker = Worker(engine, queues=None)
    found = [claim for _ in range(4) for claim in worker.claim()]
    assert sorted(named(found)) == ["m0", "m1", "other"], "two an hour, and the other's one"
    assert all(claim.admitted for claim in found)
    assert [name for name in named(found) if name != "other"] == ["m0", "m1"]
    worker.end(found[0], Bury(State(1)))
    left = {key.decode().partition(":")[2] for key in client.scan_iter(f"{old.head}park*", 1000)}
    assert left == {"parkrules:q"}


def test_a_second_start_changes_nothing(engine: Engine, old: Old) -> None:
    old.ready("a")
    engine.prepare()
    before = engine.counts()
    engine.prepare()
    assert [one._replace(oldest=0) for one in engine.counts()] == [
        one._replace(oldest=0) for one in before
    ]
