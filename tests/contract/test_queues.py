"""Several queues: their order, their turns, and their administration."""

from __future__ import annotations

from collections import Counter

import pytest

from poolq.engines.base import Engine, Push, QueueCounts, Settlement
from poolq.jobs.message import State
from poolq.jobs.outcomes import ACK, Bury, Outcome, Park, ReleaseUntil
from tests.contract.helpers import (
    HOUR,
    Worker,
    count_of,
    full,
    named,
    new_id,
    park,
    push,
    sweep_all,
    total,
)
from tests.support.clock import Clock


def fill(engine: Engine, each: int, *queues: str) -> None:
    for queue in queues:
        push(engine, *[queue] * each, queue=queue)


def test_queues_are_served_in_the_order_asked_for(engine: Engine, worker: Worker) -> None:
    push(engine, "a1", "a2", queue="a")
    push(engine, "z1", "z2", queue="z")
    asked = ["z", "none", "a"]
    assert named(worker.claim(3, asked)) == ["z1", "z2", "a1"]
    push(engine, "z3", queue="z")
    assert named(worker.claim(3, asked)) == ["z3", "a2"]


def test_a_queue_not_asked_for_is_left_alone(engine: Engine, worker: Worker) -> None:
    fill(engine, 1, "a", "b")
    assert named(worker.claim(9, ["b", "c"])) == ["b"]
    assert count_of(engine, "a").ready == 1


def test_all_queues_come_in_turn(engine: Engine, worker: Worker) -> None:
    fill(engine, 20, "a", "b", "c")
    for _ in range(4):
        turn = [worker.claim(1, None)[0].queue for _ in range(3)]
        assert sorted(turn) == ["a", "b", "c"]


def test_there_may_be_very_many_queues(engine: Engine, worker: Worker) -> None:
    """Their jobs come in any order: between two claims it may have looked again."""
    names = [f"q{n:04}" for n in range(1200)]
    engine.push([Push(new_id(), queue, queue.encode()) for queue in names])
    assert [counts.queue for counts in engine.counts()] == names
    found: list[str] = []
    while some := worker.claim(100, None):
        found += named(some)
    assert sorted(found) == names


def test_a_full_queue_starves_no_other_where_much_is_claimed_ahead(
    engine: Engine, worker: Worker
) -> None:
    fill(engine, 100, "a", "b")
    push(engine, "z", queue="z")
    claims = [claim for _ in range(3) for claim in worker.claim(10, None)]
    assert {claim.queue for claim in claims} == {"a", "b", "z"}


@pytest.mark.parametrize("queues", ["ab", "abc", "abcd"])
def test_a_worker_whose_every_other_step_only_settles_starves_no_queue(
    engine: Engine, worker: Worker, queues: str
) -> None:
    """The turns of the queues must not match the rhythm of the worker's steps."""
    fill(engine, 40, *queues)
    served: Counter[str] = Counter()
    for _ in range(36):
        (claim,) = worker.claim(1, None)
        served[claim.queue] += 1
        worker.end(claim)
    assert min(served[queue] for queue in queues) >= 18 // len(queues)


def test_queue_names_are_told_apart_by_every_byte(engine: Engine, worker: Worker) -> None:
    names = ["q", "Q", "q ", "qu", "ä", "a"]
    for queue in names:
        push(engine, f"<{queue}>", queue=queue)
    assert [counts.queue for counts in engine.counts()] == sorted(names)
    for queue in names:
        assert named(worker.claim(9, [queue])) == [f"<{queue}>"]


def test_a_paused_queue_gives_nothing(engine: Engine, worker: Worker) -> None:
    engine.resume("q")
    push(engine, "a")
    engine.pause("q")
    engine.pause("q")
    push(engine, "b")
    assert worker.claim(9) == []
    assert worker.claim(9, None) == []
    assert count_of(engine) == QueueCounts("q", ready=2, paused=True)
    engine.resume("q")
    assert named(worker.claim(9)) == ["a", "b"]
    assert not count_of(engine).paused


def test_a_pause_holds_for_everybody_and_for_this_queue_only(engine: Engine, other: Engine) -> None:
    other.pause("q")
    fill(engine, 1, "q", "r")
    assert named(Worker(engine, queues=["q", "r"]).claim(9)) == ["r"]
    assert named(Worker(engine, "w2", queues=None).claim(9)) == []


def test_what_runs_can_be_settled_while_its_queue_is_paused(engine: Engine, worker: Worker) -> None:
    push(engine, "a", "b")
    (claim,) = worker.claim()
    engine.pause("q")
    assert worker.step(Settlement(claim, ACK), want=1)[:2] == ([], [])
    assert total(engine, "done") == 1


def test_a_purge_deletes_what_waits_and_leaves_the_rest(engine: Engine, worker: Worker) -> None:
    park(worker, "parked", rules=[full(engine)])
    ids = push(engine, "running", "ready", "ready")
    ids += push(engine, "delayed", delay=HOUR)
    (claim,) = worker.claim()
    push(engine, "r", queue="r")
    assert engine.purge("q") == 4
    assert count_of(engine) == QueueCounts("q", running=1)
    assert [engine.find(one) is None for one in ids] == [False, True, True, True]
    assert [use.parked for use in engine.limits()] == [0]
    assert worker.claim(9) == []
    worker.end(claim)
    assert count_of(engine, "r").ready == 1
    assert engine.purge("q") == engine.purge("nowhere") == 0
    assert worker.take("again").queue == "q"
    assert (total(engine, "cancelled"), total(engine, "cancelled", "r")) == (4, 0)


@pytest.mark.parametrize(
    "what", ["ready", "delayed", "running", "failed", "parked", "released", "paused"]
)
def test_a_queue_that_holds_something_is_not_forgotten(engine: Engine, what: str) -> None:
    worker, rule = Worker(engine, queues=None), full(engine)
    if what in ("ready", "delayed"):
        push(engine, "a", delay=HOUR if what == "delayed" else 0)
    else:
        claim = worker.take("a")
        ends: dict[str, Outcome] = {
            "failed": Bury(State(1)),
            "parked": Park((rule,), 0),
            "released": ReleaseUntil(engine.now() + HOUR, State(1), rule),
            "paused": ACK,
        }
        if what in ends:
            worker.end(claim, ends[what])
    if what == "paused":
        engine.pause("q")
    before = count_of(engine)
    assert before != QueueCounts("q")
    sweep(engine)
    assert count_of(engine) == before
    if what == "paused":
        push(engine, "b")
        assert worker.claim() == []
        engine.resume("q")
    assert engine.purge("q") + len(engine.forget([one.id for one in engine.failed()])) <= 1
    if what == "running":
        worker.end(claim)
    sweep(engine)
    assert engine.counts() == []


def test_an_empty_queue_is_kept_until_it_has_been_idle_for_long_enough(
    engine: Engine, worker: Worker, clock: Clock
) -> None:
    for _ in range(2):
        worker.end(worker.take("a"))
        sweep(engine, HOUR)
        clock.forward(HOUR - 1)
    sweep(engine, HOUR)
    assert count_of(engine) in engine.counts(), "it was used in between"
    for _ in range(3):
        clock.forward(HOUR)
        sweep(engine, HOUR)
    assert engine.counts() == []
    assert total(engine, "done", "") == 2


def sweep(engine: Engine, idle: int = 0) -> None:
    for _ in range(9):
        sweep_all(engine, idle)
