"""While no job waits for a gate, a worker keeps its slot for its next job, as a seat. It has one at
most, and nothing is left of those of workers that are gone."""

from __future__ import annotations

import pytest
import redis

from poolq.engines.base import Claim, EndedSlots, Engine, ParkedPush, Push, Settlement
from poolq.jobs.concurrency import GATE_WINDOW
from poolq.jobs.limits import Admission, Rule
from poolq.jobs.retry import DONE, Park
from tests.contract.helpers import HOUR, Worker, died, named, new_id, push

pytestmark = pytest.mark.parametrize("engine_url", ["redis"], indirect=True)


def gate(limit: int = 1, key: str = "k") -> Rule:
    return Rule(key, limit, GATE_WINDOW)


def left(client: redis.Redis, engine: Engine) -> list[str]:
    """The keys of gates, without the prefix."""
    prefix = f"{{{engine.namespace}}}:"
    names = ("seats:*", "seated", "gate:*", "gated", "gates", "gatequeues:*")
    return sorted(
        key.decode().removeprefix(prefix) for name in names for key in client.keys(prefix + name)
    )


def run_all(worker: Worker, claims: list[Claim], rules: list[Rule], batch: bool) -> None:
    """Run jobs one after the other. `batch`: whether all are settled at the end."""
    ended: list[EndedSlots] = []
    for claim, rule in zip(claims, rules, strict=True):
        assert worker.engine.admit([rule], (worker.name, claim), ended) == Admission(0)
        if batch:
            ended = [EndedSlots(claim, [rule])]
        else:
            worker.end(claim, DONE)
    if batch:
        worker.step(*(Settlement(claim, DONE) for claim in claims))


@pytest.mark.parametrize("batch", [True, False])
def test_a_worker_has_a_seat_of_its_last_key_alone(
    engine: Engine, client: redis.Redis, batch: bool
) -> None:
    one, two = Worker(engine), Worker(engine, "w2", "n2")
    for worker, keys in ((one, "kkxk"), (two, "kxxk"), (one, "ky")):
        push(engine, *keys)
        run_all(worker, worker.claim(len(keys)), [gate(2, key) for key in keys], batch)
    assert left(client, engine) == ["seated", "seats:k", "seats:y"]
    assert sorted(client.hkeys(f"{{{engine.namespace}}}:seats:k")) == [b"#", b"w2"]
    assert engine.limits() == []
    for worker in (one, two):
        engine.recover(worker.name, died(request=worker.request))
    assert left(client, engine) == []


def test_no_seat_is_left_when_a_job_waits(engine: Engine, client: redis.Redis) -> None:
    """Those of ended jobs are forgotten. The others become slots, and whatever ends a job frees
    these."""
    workers = [Worker(engine, f"w{number}", f"n{number}") for number in range(4)]
    push(engine, *"abcd")
    claims = [worker.claim()[0] for worker in workers]
    for worker, claim in zip(workers[:3], claims, strict=False):
        assert engine.admit([gate(3)], (worker.name, claim)) == Admission(0)
    assert left(client, engine) == ["seated", "seats:k"]
    workers[0].end(claims[0], DONE)
    workers[3].end(claims[3], Park((gate(2),), 0))
    assert client.hkeys(f"{{{engine.namespace}}}:gate:k") == [
        claims[1].id.encode(),
        claims[2].id.encode(),
    ]
    assert left(client, engine) == ["gate:k", "gated", "gatequeues:k", "gates", "seated"]
    (use,) = engine.limits()
    assert (use.rule.limit, use.window.used, use.parked, use.starts) == (3, 2, 1, 3)
    assert named(workers[0].claim()) == ["d"], "there is room for three"
    for worker, claim in zip(workers[1:3], claims[1:3], strict=True):
        worker.end(claim, DONE)
    assert left(client, engine) == ["gate:k", "gated", "gates", "seated"]


def test_seats_and_slots_of_a_gate_count_together(engine: Engine, client: redis.Redis) -> None:
    """A job that has another limit, too, has a slot."""
    one, two, three = (Worker(engine, f"w{number}", f"n{number}") for number in range(3))
    push(engine, *"abc")
    a, b, c = one.claim()[0], two.claim()[0], three.claim()[0]
    assert engine.admit([gate(2), Rule("w", 9, 10**9)], ("w0", a)) == Admission(0)
    assert engine.admit([gate(2)], ("w1", b)) == Admission(0)
    assert left(client, engine) == ["gate:k", "gated", "gates", "seated", "seats:k"]
    (use, _) = sorted(engine.limits(), key=lambda use: use.rule.key)
    assert (use.rule.key, use.window.used, use.starts) == ("k", 2, 2)
    assert engine.admit([gate(2)], ("w2", c)).wait > 0
    assert engine.admit([gate(3)], ("w2", c)) == Admission(0)


def test_a_seat_is_not_given_twice(engine: Engine) -> None:
    """The same start is asked for again, as its answer was lost."""
    worker = Worker(engine)
    push(engine, *"ab")
    a, b = worker.claim(2)
    ended = [EndedSlots(a, [gate()])]
    for _ in range(2):
        assert engine.admit([gate()], ("w1", a)) == Admission(0)
    for _ in range(2):
        assert engine.admit([gate()], ("w1", b), ended) == Admission(0)
    (use,) = engine.limits()
    assert (use.window.used, use.starts) == (1, 2)
    assert engine.admit([gate()], ("w1", a), ended).wait > 0


def test_a_gate_is_forgotten_with_its_last_slot_whatever_the_worker_asks_next(
    engine: Engine, worker: Worker, client: redis.Redis
) -> None:
    """The next job asks a gate for which jobs wait, so that another script has to answer."""
    push(engine, "a", "b")
    first, second = worker.claim(2)
    rules = [gate(1, "alone"), Rule("wide", 9, HOUR)]
    assert engine.admit(rules, (worker.name, first)) == Admission(0)
    engine.push_parked([ParkedPush(Push(new_id(), "r", b"x"), gate(1, "pair"))])
    ended = [EndedSlots(first, rules)]
    assert engine.admit([gate(2, "pair")], (worker.name, second), ended) == Admission(0)
    assert client.hkeys(f"{{{engine.namespace}}}:gates") == [b"pair"]
