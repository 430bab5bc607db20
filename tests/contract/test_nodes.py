"""Nodes, their beats and workers, and the end of a node that has fallen silent."""

from __future__ import annotations

import pytest

from poolq.engines.base import Engine, NodeRecord, QueueCounts, Recovered, Registration
from poolq.errors import Fenced
from tests.contract.helpers import (
    Worker,
    count_of,
    named,
    push,
    registration,
    stored,
    total,
)

INFO = '{"name":"größe","pid":1}'.encode()


def test_registered_tells_all_that_was_said(engine: Engine) -> None:
    first = Registration("w1", "n1", "host", "mail", "b0-0t", "4026531836", 4_194_304, 2**40)
    second = Registration("w2", "n2", "hòst", "default", "boot", "", 1, 0)
    engine.register(first)
    engine.register(second)
    assert sorted(engine.registered()) == [first, second]


def test_a_worker_is_registered_once(engine: Engine) -> None:
    engine.register(registration())
    engine.register(registration())
    assert engine.registered() == [registration()]
    assert [node.workers for node in engine.nodes()] == [1]


def test_a_beat_counts_up_and_tells_of_all_nodes(engine: Engine, other: Engine) -> None:
    first = engine.beat("n1", INFO)
    assert list(first) == ["n1"]
    both = other.beat("n2", b"")
    assert both == {"n1": first["n1"], "n2": both["n2"]}
    assert engine.beat("n1", INFO) == both | {"n1": first["n1"] + 1}
    assert sorted(engine.nodes()) == [
        NodeRecord("n1", first["n1"] + 1, INFO, 0),
        NodeRecord("n2", both["n2"], b"", 0),
    ]


@pytest.mark.parametrize("registers", [True, False], ids=["registers first", "beats first"])
def test_a_node_that_was_reaped_comes_back_with_another_counter(
    engine: Engine, registers: bool
) -> None:
    """So a keeper that still observes the old one does not take it for silent."""
    counters = set()
    for _ in range(3):
        if registers:
            engine.register(registration("w1", "n1"))
        counter = engine.beat("n1", INFO)["n1"]
        counters |= {counter, engine.beat("n1", INFO)["n1"]}
        assert engine.reap("n1", counter + 1) is not None
    assert len(counters) == 6


def test_each_node_has_what_it_told_last(engine: Engine, other: Engine) -> None:
    """A beat reports what the pool is doing, in some detail."""
    told = {f"n{at}": (f'{{"at":{at},"host":"' + "ü" * 400 + '"}').encode() for at in range(5)}
    told["n5"] = bytes(range(256))
    for node in told:
        engine.beat(node, INFO)
    for node, info in told.items():
        other.beat(node, info)
    engine.register(registration("w1", "n3"))
    engine.register(registration("w2", "n3"))
    assert {one.node: (one.info, one.workers) for one in engine.nodes()} == {
        node: (info, 2 if node == "n3" else 0) for node, info in told.items()
    }


def test_a_registration_leaves_the_beat_alone(engine: Engine) -> None:
    engine.beat("n1", INFO)
    counter = engine.beat("n1", INFO)["n1"]
    engine.register(registration("w1", "n1"))
    assert engine.nodes() == [NodeRecord("n1", counter, INFO, 1)]


def test_a_node_that_left_is_forgotten(engine: Engine) -> None:
    engine.beat("n1", INFO)
    engine.beat("n2", INFO)
    engine.remove_node("n1")
    engine.remove_node("n1")
    assert [node.node for node in engine.nodes()] == ["n2"]
    assert "n1" not in engine.beat("n2", INFO)


def test_a_node_with_workers_cannot_leave(engine: Engine, worker: Worker) -> None:
    """Otherwise their claims would belong to no node that can be reaped."""
    claim = worker.take("a")
    engine.remove_node("n1")
    assert [node.node for node in engine.nodes()] == ["n1"]
    worker.end(claim)
    engine.recover("w1", None)
    engine.remove_node("n1")
    assert engine.nodes() == []


def test_reaping_a_silent_node_recovers_all_its_workers(engine: Engine) -> None:
    push(engine, "a", "b", "c", "d", "e")
    first, second = Worker(engine, "w1", "n1"), Worker(engine, "w2", "n1")
    neighbour = Worker(engine, "w3", "n2")
    a, b = first.claim(2)
    c, d = second.claim(2)
    (e,) = neighbour.claim()
    counter = engine.beat("n1", INFO)["n1"]
    engine.beat("n2", INFO)
    recovered = engine.reap("n1", counter)
    assert recovered is not None
    assert recovered.done == ()
    assert sorted(recovered.crashed) == sorted([a.id, c.id])
    assert sorted(recovered.returned) == sorted([b.id, d.id])
    assert [node.node for node in engine.nodes()] == ["n2"]
    assert [one.worker for one in engine.registered()] == ["w3"]
    assert count_of(engine) == QueueCounts("q", ready=4, running=1)
    assert total(engine, "crashed") == 2
    for dead in (first, second):
        with pytest.raises(Fenced):
            dead.claim()
    neighbour.end(e)
    assert sorted(named(neighbour.claim(9))) == ["a", "b", "c", "d"]


@pytest.mark.parametrize("off_by", [-1, 1])
def test_a_node_that_has_beaten_since_is_left_alone(
    engine: Engine, worker: Worker, off_by: int
) -> None:
    claim = worker.take("a")
    engine.beat("n1", INFO)
    counter = engine.beat("n1", INFO)["n1"]
    assert engine.reap("n1", counter + off_by) is None
    assert stored(engine, claim.id).worker == "w1"
    assert engine.nodes() == [NodeRecord("n1", counter, INFO, 1)]
    worker.end(claim)


def test_a_node_without_workers_is_reaped_too(engine: Engine) -> None:
    counter = engine.beat("n1", INFO)["n1"]
    assert engine.reap("n1", counter) == Recovered()
    assert engine.nodes() == []


def test_a_node_that_never_beat_is_reaped_by_its_first_counter(engine: Engine) -> None:
    """Its pool died between the registration of a worker and its first beat."""
    push(engine, "a")
    worker = Worker(engine, "w1", "n1")
    (claim,) = worker.claim()
    counter = engine.beat("n2", INFO)["n1"]
    assert engine.reap("n1", counter) == Recovered(crashed=(claim.id,))


def test_a_node_is_reaped_once(engine: Engine, worker: Worker) -> None:
    worker.take("a")
    counter = engine.beat("n1", INFO)["n1"]
    assert engine.reap("n1", counter) is not None
    assert engine.reap("n1", counter) is None
    assert engine.reap("nobody", 0) is None
    assert total(engine, "crashed") == 1


def test_a_reaped_node_that_wakes_up_is_a_new_one_without_workers(
    engine: Engine, worker: Worker
) -> None:
    """It was stopped for too long, and continues: it beats again, but its workers are fenced."""
    worker.take("a")
    engine.reap("n1", engine.beat("n1", INFO)["n1"])
    engine.beat("n1", INFO)
    assert [(node.node, node.workers) for node in engine.nodes()] == [("n1", 0)]
    with pytest.raises(Fenced):
        worker.claim()
    assert count_of(engine) == QueueCounts("q", ready=1)
