"""What Redis keeps of a gate: nothing of jobs and workers that are gone, and for a minute its limit
and the count of its starts."""

from __future__ import annotations

import pytest
import redis

from poolq.engines.base import EndedSlots, Engine, Push, Settlement
from poolq.jobs.limits import Admission, Rule
from poolq.jobs.outcomes import DONE
from tests.contract.helpers import HOUR, Worker, died, gate, new_id, push

pytestmark = pytest.mark.parametrize("engine_url", ["redis"], indirect=True)


def left(client: redis.Redis, engine: Engine) -> list[str]:
    """The keys of gates, without the prefix."""
    prefix = f"{{{engine.namespace}}}:"
    names = ("gate:*", "gated", "gates", "gatequeues:*")
    return sorted(
        key.decode().removeprefix(prefix) for name in names for key in client.keys(prefix + name)
    )


def test_a_slot_goes_with_its_claim_and_the_gate_a_minute_after_its_last_use(
    engine: Engine, worker: Worker, client: redis.Redis
) -> None:
    two = Worker(engine, "w2", "n2")
    push(engine, *"abc")
    a, b = worker.claim(2)
    (c,) = two.claim()
    assert engine.admit([gate(), Rule("w", 9, HOUR)], (worker.name, a)) == Admission(0)
    assert engine.admit([gate("x", 2)], (worker.name, b)) == Admission(0)
    assert engine.admit([gate("x", 2)], (two.name, c)) == Admission(0)
    assert left(client, engine) == ["gate:k", "gate:x", "gated", "gates"]
    worker.step(Settlement(a, DONE), Settlement(b, DONE))
    assert left(client, engine) == ["gate:x", "gated", "gates"]
    engine.recover(two.name, died(request=two.request))
    assert left(client, engine) == ["gates"]
    gates = f"{{{engine.namespace}}}:gates"
    client.hset(gates, "x", "2 2 0 1")
    engine.sweep(HOUR)
    assert client.hkeys(gates) == [b"k"], "it was used just now"


def test_a_slot_is_not_given_twice(engine: Engine, worker: Worker) -> None:
    """The same start is asked for again, as its answer was lost."""
    a, b = worker.take_all(*"ab")
    ended = [EndedSlots(a, [gate()])]
    for _ in range(2):
        assert engine.admit([gate()], (worker.name, a)) == Admission(0)
    for _ in range(2):
        assert engine.admit([gate()], (worker.name, b), ended) == Admission(0)
    (use,) = engine.limits()
    assert (use.window.used, use.starts) == (1, 2)
    assert engine.admit([gate()], (worker.name, a), ended).wait > 0


def test_slots_of_ended_jobs_are_free_also_if_the_next_one_asks_another_gate(
    engine: Engine, worker: Worker, client: redis.Redis
) -> None:
    """Jobs wait for that one."""
    first, second = worker.take_all("a", "b")
    rules = [gate("alone", 1), Rule("wide", 9, HOUR)]
    assert engine.admit(rules, (worker.name, first)) == Admission(0)
    engine.push([Push(new_id(), "r", b"x", gate=gate("pair", 1))])
    ended = [EndedSlots(first, rules)]
    assert engine.admit([gate("pair", 2)], (worker.name, second), ended) == Admission(0)
    assert left(client, engine) == ["gate:pair", "gated", "gatequeues:pair", "gates"]
