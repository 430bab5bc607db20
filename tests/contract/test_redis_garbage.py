"""Garbage that somebody writes into Redis by hand crashes no reader."""

from __future__ import annotations

from contextlib import suppress

import pytest
import redis

from poolq.engines.base import Engine
from poolq.errors import EngineError
from tests.contract.helpers import Worker, named, push, stored

pytestmark = pytest.mark.parametrize("engine_url", ["redis"], indirect=True)


def test_an_id_and_a_queue_that_are_not_text(engine: Engine, client: redis.Redis) -> None:
    head = f"{{{engine.namespace}}}:".encode()
    client.zadd(head + b"active", {b"\xff": 0})
    client.rpush(head + b"ready:\xff", b"\xfe")
    push(engine, "good")
    worker = Worker(engine, queues=None)
    bodies = [name for _ in range(2) for name in named(worker.claim(9))]
    assert sorted(bodies) == ["", "good"]
    assert [one.queue for one in engine.counts()] == ["q", "\ufffd"]


@pytest.mark.parametrize("state", [b"", b"x", b"1 2 3", b"a b c d\n{}", b"\xff\n\xff"])
def test_an_unreadable_state(engine: Engine, client: redis.Redis, state: bytes) -> None:
    (id,) = push(engine, "a")
    client.hset(f"{{{engine.namespace}}}:states", id, state)
    (claim,) = Worker(engine).claim()
    assert (claim.state.attempt, claim.state.crashes, claim.state.failing) == (0, 0, 0)
    assert claim.state.history == state, "it is kept for a person to see"
    found = engine.find(id)
    assert found is not None
    assert found.state == claim.state
    assert engine.recover("w1", None).crashed == (id,), "its death is counted"
    assert stored(engine, id).state.crashes == 1


def test_a_token_that_is_not_a_number_wakes(engine: Engine, client: redis.Redis) -> None:
    push(engine, "a")
    Worker(engine).claim()
    engine.wait(["q"], 0)
    client.delete(f"{{{engine.namespace}}}:wake:q")
    client.rpush(f"{{{engine.namespace}}}:wake:q", b"now!")
    assert engine.wait(["q"], 5) == 1


@pytest.mark.parametrize("queues", [None, ["q"]])
def test_a_due_time_that_never_comes_is_waited_for(
    engine: Engine, client: redis.Redis, queues: list[str] | None
) -> None:
    head = f"{{{engine.namespace}}}:"
    client.zadd(head + "later", {"q": float("inf")})
    client.zadd(head + "delayed:q", {"x": float("inf")})
    assert engine.wait(queues, 0.05) == 0


def test_a_value_of_the_wrong_type_is_an_engine_error(engine: Engine, client: redis.Redis) -> None:
    client.set(f"{{{engine.namespace}}}:ready:q", b"no list")
    client.zadd(f"{{{engine.namespace}}}:active", {b"q": 0})
    worker = Worker(engine)
    with pytest.raises(EngineError, match="WRONGTYPE"):
        worker.claim()
    with suppress(EngineError):
        push(engine, "a")
