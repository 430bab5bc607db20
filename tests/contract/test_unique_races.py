"""Unique keys under simultaneous producers and deaths: there is exactly one job."""

from __future__ import annotations

import os
import random
import signal
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any

import pytest

from poolq.engines.base import Engine, Push, Settlement
from poolq.jobs.message import State
from poolq.jobs.outcomes import ACK, GIVE_BACK, Release
from poolq.jobs.unique import UniqueKey, Until
from tests.contract.conftest import OpenEngine
from tests.contract.crowd import Crowd
from tests.contract.helpers import Worker, died, every_engine, new_id, open_engine
from tests.support.wait import until

KEYS, THREADS = 8, 16


def tied(key: str, till: Until = "end", *, replaces: bool = False) -> Push:
    return Push(new_id(), "q", key.encode(), unique=UniqueKey(key, till, 0, replaces))


def produce(
    member: int, url: str, namespace: str, till: Until, replaces: bool
) -> list[tuple[str, str, str]]:
    """Have threads push a job of each key. Returns each key and id, and which job has the key."""

    def push_all(_: int) -> list[tuple[str, str, str]]:
        with closing(open_engine(url, namespace)) as engine:
            found = []
            for n in range(KEYS):
                one = tied(f"key {n}", till, replaces=replaces)
                found.append((f"key {n}", one.id, *engine.push([one])))
            return found

    with ThreadPoolExecutor(THREADS) as threads:
        return [one for some in threads.map(push_all, range(THREADS)) for one in some]


def live(engine: Engine) -> Counter[str]:
    """How many jobs of each key wait or run."""
    found = [*engine.page("ready").jobs, *engine.page("running").jobs, *engine.page("delayed").jobs]
    return Counter(one.body.decode() for one in found)


@every_engine
def test_of_64_producers_one_stores_the_job(engine: Engine, crowd: Crowd) -> None:
    made = crowd.act(produce, engine.url, engine.namespace, "end", False)
    holders: dict[str, set[str]] = {}
    for key, _, holder in (one for some in made for one in some):
        holders.setdefault(key, set()).add(holder)
    assert {key: len(ids) for key, ids in holders.items()} == {f"key {n}": 1 for n in range(KEYS)}
    assert live(engine) == Counter(holders.keys())
    skipped = engine.totals()["q"]["skipped"]
    assert skipped == (crowd.size * THREADS - 1) * KEYS
    assert sorted(Worker(engine).drain()) == sorted(holders)


def test_of_producers_that_replace_each_other_one_job_stays(engine: Engine, crowd: Crowd) -> None:
    made = [
        one
        for some in crowd.act(produce, engine.url, engine.namespace, "start", True)
        for one in some
    ]
    assert all(id_ == holder for _, id_, holder in made)
    assert live(engine) == Counter(f"key {n}" for n in range(KEYS))
    assert engine.totals()["q"]["replaced"] == len(made) - KEYS


def rival(pipe: Connection, url: str, namespace: str, id_: str, key: str) -> None:
    """Push a job with this key, and stop before the end of the transaction."""
    from poolq.engines.sql.new_jobs import store_contested
    from poolq.engines.sql.queues.wakeups import add_queues

    engine: Any = open_engine(url, namespace)
    add_queues(engine.session, {"q"})

    def work(tx: Any) -> None:
        one = Push(id_, "q", b"rival", unique=UniqueKey(key, "end"))
        store_contested(tx, one)
        tx.run()
        pipe.send("stored")
        signal.pause()

    engine.session.transact(work)


@pytest.mark.parametrize("engine_url", ["mariadb", "postgresql", "sqlite"], indirect=True)
def test_a_rival_that_is_killed_leaves_neither_a_job_nor_a_key(
    engine: Engine, opened: OpenEngine, threads: ThreadPoolExecutor
) -> None:
    """The others wait for it, and one of them gets the key."""
    context = get_context("forkserver")
    ours, theirs = context.Pipe()
    id_, key = new_id(), "k"
    process = context.Process(target=rival, args=(theirs, engine.url, engine.namespace, id_, key))
    process.start()
    try:
        assert ours.poll(60)
        ours.recv()
        pushes = [tied(key) for _ in range(3)]

        def push(one: Push) -> str:
            with closing(open_engine(engine.url, engine.namespace)) as other:
                (holder,) = other.push([one])
                return holder

        waiting = [threads.submit(push, one) for one in pushes]
    finally:
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join(60)
    holders = {one.result(60) for one in waiting}
    assert len(holders) == 1
    assert holders <= {one.id for one in pushes}
    assert engine.find(id_) is None
    assert live(engine) == Counter([key])


def push_forever(pipe: Connection, url: str, namespace: str) -> None:
    """Push jobs of a few keys until this process is killed."""
    engine = open_engine(url, namespace)
    pipe.send("begins")
    while True:
        for n in range(5):
            engine.push([tied(f"{n}"), tied(f"{n + 1}")])


def test_producers_that_are_killed_leave_keys_only_with_their_jobs(
    engine: Engine, opened: OpenEngine
) -> None:
    context = get_context("forkserver")
    chance = random.Random(1)
    worker = Worker(engine)
    for _ in range(3):
        ours, theirs = context.Pipe()
        process = context.Process(target=push_forever, args=(theirs, engine.url, engine.namespace))
        process.start()
        assert ours.poll(60)
        for _ in range(chance.randrange(3, 20)):
            claims = worker.claim(3)
            worker.step(*(Settlement(one, ACK) for one in claims))
        process.kill()
        process.join(60)
        assert max(live(engine).values(), default=1) == 1
    other = opened(engine.url, engine.namespace)

    def are_free() -> bool:
        """A server may still store what the last one has sent, after the drain has ended."""
        worker.drain()
        pushes = [tied(f"{n}") for n in range(6)]
        return other.push(pushes) == [one.id for one in pushes]

    until(are_free, 10, "keys without the jobs of the dead")


def _dead(engine: Engine, worker: Worker, death: Any) -> Worker:
    engine.recover(worker.name, death)
    return Worker(engine, f"w{new_id()}")


@every_engine
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("till", ["end", "start"])
def test_no_job_is_dropped_or_doubled_by_deaths_between_claim_and_settlement(
    engine: Engine, till: Until, pytestconfig: pytest.Config
) -> None:
    chance, worker = random.Random(7), Worker(engine, "w")
    stored: set[str] = set()
    done: list[str] = []
    for round_ in range(pytestconfig.getoption("unique_deaths") * 4 // 3):
        for n in chance.sample(range(6), 3):
            one = tied(f"{n}", till)
            if engine.push([one]) == [one.id]:
                stored.add(one.id)
        claims = worker.claim(chance.randrange(1, 5))
        if till == "end":
            assert max(live(engine).values()) == 1
        assert claims
        finished = chance.randrange(len(claims) + 1)
        match round_ % 4:
            case 0:  # nothing is known about the death
                worker = _dead(engine, worker, None)
            case 1:
                worker = _dead(engine, worker, died(worker.request, finished, finished))
                done += [one.id for one in claims[:finished]]
            case 2:
                ends = [ACK if chance.random() < 0.5 else GIVE_BACK for _ in claims]
                worker.step(*map(Settlement, claims, ends))
                done += [one.id for one, end in zip(claims, ends, strict=True) if end is ACK]
            case _:
                ends = [ACK if n else Release(0, State(1)) for n, _ in enumerate(claims)]
                worker.step(*map(Settlement, claims, ends))
                done += [one.id for one in claims[1:]]
                worker = _dead(engine, worker, None)
    while claims := worker.claim(50):
        worker.step(*(Settlement(one, ACK) for one in claims))
        done += [one.id for one in claims]
    assert sorted(done) == sorted(stored)
    fresh = [tied(f"{n}") for n in range(6)]
    assert engine.push(fresh) == [one.id for one in fresh], "a key is left over"
    assert engine.totals()["q"]["done"] == len(done)
