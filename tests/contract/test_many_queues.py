"""A queue for each customer: queues that were used cost nothing, and are forgotten in the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest
import redis

from poolq.engines.base import Engine, Push, QueueCounts, Settlement
from poolq.jobs.limits import Rule
from poolq.jobs.message import State
from poolq.jobs.outcomes import ACK, Park, ReleaseUntil
from tests.contract.helpers import HOUR, SECOND, Worker, count_of, named, new_id, push, sweep_all
from tests.support.clock import Clock

pytestmark = pytest.mark.parametrize("engine_url", ["redis"], indirect=True)

MANY = 10_000


@pytest.fixture
def worker(engine: Engine) -> Worker:
    return Worker(engine, queues=None)


def use(engine: Engine, worker: Worker, many: int) -> None:
    """Use so many queues, and leave them empty."""
    engine.push([Push(new_id(), f"used{n:05}", b"x") for n in range(many)])
    drained = worker.drain()
    assert len(drained) == many


# what it costs


def commands(client: redis.Redis, act: Callable[[], object]) -> int:
    """How many commands the server runs for it, including those in scripts."""

    def calls() -> int:
        stats = client.info("commandstats")
        return sum(one["calls"] for name, one in stats.items() if name != "cmdstat_info")

    before = calls()
    act()
    return calls() - before


def test_used_queues_cost_nothing(engine: Engine, worker: Worker, client: redis.Redis) -> None:
    def work() -> None:
        push(engine, "a", queue="used00001")
        for claim in worker.claim():
            worker.end(claim)

    acts: dict[str, Callable[[], object]] = {
        "work": work,
        "an idle step": lambda: worker.claim(9),
        "wait": lambda: engine.wait(None, 0.001),
        "wake": lambda: engine.wake(None),
        "counts": engine.counts,
        "totals": engine.totals,
        "limits": engine.limits,
        "failed": engine.failed,
        "sweep": lambda: engine.sweep(HOUR),
    }

    def costs() -> dict[str, int]:
        for act in acts.values():  # notes and clean-ups cost something once
            act()
        return {name: min(commands(client, act) for _ in range(3)) for name, act in acts.items()}

    use(engine, worker, 5)
    few = costs()
    use(engine, worker, MANY)
    many = costs()
    assert {name: cost for name, cost in many.items() if cost > 1.5 * few[name] + 6} == {}
    assert len(engine.counts()) < 100
    assert len(engine.totals()) < 100
    assert len(client.keys(f"{{{engine.namespace}}}:*")) < 20


def test_queues_with_delayed_jobs_cost_nothing(
    engine: Engine, worker: Worker, client: redis.Redis
) -> None:
    push(engine, "a", queue="one", delay=HOUR)
    worker.claim()
    few = commands(client, lambda: (worker.claim(), engine.wait(None, 0.001)))
    engine.push([Push(new_id(), f"later{n}", b"x", HOUR) for n in range(1000)])
    engine.wait(None, 0.001)
    assert commands(client, lambda: (worker.claim(), engine.wait(None, 0.001))) <= few + 6


# whose turn it is


def test_all_of_many_queues_come_in_turn(engine: Engine, worker: Worker) -> None:
    names = [f"c{n:03}" for n in range(100)]
    for _ in range(4):
        engine.push([Push(new_id(), queue, queue.encode()) for queue in names])
    for want in (1, 1, 7, 50):
        served: Counter[str] = Counter()
        while sum(served.values()) < 100:
            claims = worker.claim(min(want, 100 - sum(served.values())))
            served.update(named(claims))
            worker.step(*(Settlement(claim, ACK) for claim in claims))
        if want == 1:
            assert set(served.values()) == {1}
    assert worker.claim(9) == []


def test_among_many_each_kind_of_job_is_found(engine: Engine, worker: Worker, clock: Clock) -> None:
    rule = Rule("k", 1, HOUR)
    engine.admit([rule])
    names = [f"c{n:02}" for n in range(50)]
    engine.push([Push(new_id(), queue, queue.encode()) for queue in names])
    claims = sorted(worker.claim(50), key=lambda one: one.queue)
    worker.step(
        Settlement(claims[0], Park((rule,), 0)),
        Settlement(claims[1], ReleaseUntil(clock.now + SECOND, State(1), rule)),
        *(Settlement(claim, ACK) for claim in claims[2:]),
    )
    engine.push([Push(new_id(), queue, queue.encode(), SECOND) for queue in names[2:]])
    assert worker.claim(99) == []
    clock.forward(SECOND)
    assert sorted(named(worker.claim(99))) == names[1:]
    clock.forward(HOUR)
    (claim,) = worker.claim(99)
    assert (claim.body, claim.admitted) == (b"c00", True)


def test_a_paused_queue_of_many_is_left_alone_until_it_is_resumed(
    engine: Engine, worker: Worker
) -> None:
    names = [f"c{n:02}" for n in range(50)]
    engine.pause("c07")
    engine.push([Push(new_id(), queue, queue.encode()) for queue in names])
    assert sorted(named(worker.claim(99))) == [name for name in names if name != "c07"]
    assert worker.claim(99) == []
    engine.resume("c07")
    assert named(worker.claim(99)) == ["c07"]


# forgetting


def test_queues_with_nothing_in_them_are_forgotten(
    engine: Engine, worker: Worker, client: redis.Redis
) -> None:
    use(engine, worker, 250)
    engine.pause("used00007")
    sweep_all(engine)
    assert [one for one in engine.counts() if not one.paused] == []
    assert count_of(engine, "used00007") == QueueCounts("used00007", paused=True)
    assert {queue: found["done"] for queue, found in engine.totals().items()} == {"": 250}
    assert len(client.keys(f"{{{engine.namespace}}}:*")) < 12
    push(engine, "a", queue="used00003")
    assert named(worker.claim()) == ["a"]
    push(engine, "b", queue="used00007")
    assert worker.claim() == []


def test_one_sweep_is_bounded(engine: Engine, worker: Worker, client: redis.Redis) -> None:
    use(engine, worker, 1000)
    assert commands(client, lambda: engine.sweep(0)) < 5000
    assert engine.sweep(0) is True


def test_a_hundred_thousand_limits_are_shown_in_part(engine: Engine, client: redis.Redis) -> None:
    """Those that jobs wait for come first, and ended ones leave at least as fast as new ones
    come."""
    head = f"{{{engine.namespace}}}:"
    now = engine.now()
    ends = {f"{HOUR}:k{n}": now + HOUR for n in range(20_000)}
    client.zadd(f"{head}windows", ends)
    client.mset({f"{head}win:{name}": f"{now} 1 5" for name in ends})
    worker = Worker(engine)
    worker.end(worker.take("a"), Park((Rule("z", 1, HOUR),), 0))
    engine.admit([Rule("z", 1, HOUR)])
    uses = engine.limits()
    assert len(uses) == 1000
    assert [use.parked for use in uses if use.rule.key == "z"] == [1]
    assert commands(client, engine.limits) < 20
    client.zadd(f"{head}windows", dict.fromkeys(ends, now - SECOND))
    sweep_all(engine, HOUR)
    assert client.zcard(f"{head}windows") == 1
