"""Registrations, beats and claims that somebody has damaged, or a server has evicted: keepers
continue to look after the other nodes, and lose nothing that can still be known."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from poolq.engines.base import Engine
from poolq.engines.postgresql import PostgreSQLEngine
from poolq.engines.redis.engine import RedisEngine
from tests.contract.helpers import Worker, push, registration, stored
from tests.support.by_hand import TYPED, call, change


def damage_worker(engine: Engine, how: str) -> None:
    """Damage the registration of worker w2."""
    if isinstance(engine, RedisEngine):
        match how:
            case "gone":
                call(engine, "DEL", "worker:w2")
            case "garbage":
                call(engine, "HSET", "worker:w2", b"#who", b"\xff")
                call(engine, "HDEL", "worker:w2", b"#node")
            case _:
                call(engine, "SET", "worker:w2", b"x")
    elif isinstance(engine, TYPED):
        odd = "?" if isinstance(engine, PostgreSQLEngine) else b"\xff"
        change(engine, "UPDATE {workers} SET host = ?, boot = '' WHERE worker = 'w2'", odd)
    else:
        sql = "UPDATE {workers} SET host = ?, pid = ?, started = ? WHERE worker = 'w2'"
        change(engine, sql, b"\xff", "x", b"\xff")


def damage_node(engine: Engine) -> None:
    """Damage the beat and the info of node n2."""
    if isinstance(engine, RedisEngine):
        call(engine, "HSET", "nodes", b"n2", b"x")
        call(engine, "HDEL", "nodeinfo", b"n2")
        call(engine, "DEL", "node:n2")
        call(engine, "SET", "node:n2", b"x")
    elif isinstance(engine, TYPED):
        change(engine, "UPDATE {nodes} SET beat = 0, info = ? WHERE node = 'n2'", b"\xff")
    else:
        change(engine, "UPDATE {nodes} SET beat = 'x', info = 'x' WHERE node = 'n2'")


def damage_claims(engine: Engine, ids: Sequence[str]) -> None:
    """Damage everything that is known about all jobs, except their bodies and workers."""
    if isinstance(engine, RedisEngine):
        for id_ in ids:
            call(engine, "HSET", "states", id_.encode(), b"x")
    elif isinstance(engine, TYPED):
        change(engine, "UPDATE {jobs} SET history = ?, rules = ?", b"\xff", b"x")
    else:
        sql = "UPDATE {jobs} SET attempt = 'x', crashes = ?, failing = 'x', history = 'x'"
        change(engine, sql, b"\xff")


@pytest.mark.parametrize("how", ["gone", "garbage", "another type"])
def test_a_damaged_registration_is_recovered_like_others(engine: Engine, how: str) -> None:
    Worker(engine)
    Worker(engine, "w2")
    damage_worker(engine, how)
    found = engine.registered()
    assert {one.worker: one.node for one in found} == {"w1": "n1", "w2": "n1"}
    assert registration() in found
    assert all(type(one.pid) is type(one.started) is int for one in found)
    engine.recover("w2", None)
    assert engine.registered() == [registration()]
    assert [(node.node, node.workers) for node in engine.nodes()] == [("n1", 1)]


@pytest.mark.parametrize("how", ["gone", "garbage", "another type"])
def test_a_node_with_a_damaged_registration_is_reaped(engine: Engine, how: str) -> None:
    push(engine, "a")
    worker = Worker(engine)
    (claim,) = worker.claim()
    Worker(engine, "w2")
    damage_worker(engine, how)
    recovered = engine.reap("n1", engine.beat("n1", b"")["n1"])
    assert recovered is not None
    assert recovered.crashed == (claim.id,)
    assert (engine.registered(), engine.nodes()) == ([], [])


def test_a_damaged_node_stops_no_other_ones_beat(engine: Engine) -> None:
    first = engine.beat("n1", b"")["n1"]
    engine.register(registration("w2", "n2"))
    damage_node(engine)
    assert engine.beat("n1", b"") == {"n1": first + 1, "n2": 0}
    found = {node.node: (node.beat, type(node.info)) for node in engine.nodes()}
    assert found == {"n1": (first + 1, bytes), "n2": (0, bytes)}
    assert engine.reap("n2", 1) is None
    assert engine.reap("n2", 0) is not None
    assert engine.beat("n1", b"") == {"n1": first + 2}


def test_a_damaged_node_that_lives_continues(engine: Engine) -> None:
    engine.register(registration("w2", "n2"))
    damage_node(engine)
    counter = engine.beat("n2", b"told")["n2"]
    assert engine.beat("n2", b"told") == {"n2": counter + 1}
    assert [(node.beat, node.info) for node in engine.nodes()] == [(counter + 1, b"told")]


def test_unreadable_claims_are_recovered(engine: Engine) -> None:
    ids = push(engine, "a", "b")
    Worker(engine).claim(2)
    damage_claims(engine, ids)
    recovered = engine.recover("w1", None)
    assert sorted([*recovered.crashed, *recovered.returned]) == ids
    (crashed,) = recovered.crashed
    assert stored(engine, crashed).state.crashes == 1
    assert sorted(claim.id for claim in Worker(engine, "w3").claim(9)) == ids
