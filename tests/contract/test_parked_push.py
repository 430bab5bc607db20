"""Jobs that are stored in the line of their gate, so that no worker has to ask them first."""

from __future__ import annotations

from collections import Counter

from poolq.engines.base import Engine, Push, QueueCounts
from poolq.jobs.limits import Rule
from poolq.jobs.outcomes import ACK, DONE
from tests.contract.helpers import HOUR, Worker, count_of, gate, named, new_id, push, wait_for


def push_parked(
    engine: Engine, *names: str, rule: Rule | None = None, queue: str = "q", expires: int = 0
) -> list[str]:
    pushes = [
        Push(new_id(), queue, name.encode(), expires=expires, gate=rule or gate()) for name in names
    ]
    engine.push(pushes)
    return [one.id for one in pushes]


def test_they_start_in_their_order_as_slots_become_free(engine: Engine, worker: Worker) -> None:
    push_parked(engine, "a", "b", rule=gate(limit=2))
    push_parked(engine, "c", rule=gate(limit=2))
    assert count_of(engine) == QueueCounts("q", parked=3)
    (a,), (b,) = worker.claim(), worker.claim()
    assert named([a, b]) == ["a", "b"]
    assert a.admitted
    assert a.gated
    assert worker.claim() == [], "two have the slots"
    worker.end(a, DONE)
    assert named(worker.claim()) == ["c"]


def test_one_job_of_a_tenant_does_not_wait_for_the_many_of_another(
    engine: Engine, worker: Worker
) -> None:
    """The first one of the many may start before it, and no more."""
    push_parked(engine, *["many"] * 600, rule=gate("many", 2))
    push_parked(engine, "one", rule=gate("one", 2))
    order = []
    for _ in range(3):
        order += named(claims := worker.claim())
        worker.end(claims[0], DONE)
    assert "one" in order[:2]
    assert Counter(order) == {"many": 2, "one": 1}


def test_they_come_among_other_jobs_of_their_queue_by_when_they_were_due(
    engine: Engine, worker: Worker
) -> None:
    """Those whose gates have room would otherwise hold up all others while there are any."""
    push(engine, "first")
    push_parked(engine, "a1", "a2", rule=gate("a", 2))
    push(engine, "second", "third")
    push_parked(engine, "b1", rule=gate("b"))
    push(engine, "last")
    order = []
    for _ in range(7):
        (claim,) = worker.claim()
        order += named([claim])
        worker.end(claim, DONE if claim.gated else ACK)
    assert order == ["first", "a1", "a2", "second", "third", "b1", "last"]


def test_a_batch_ends_no_order(engine: Engine, worker: Worker) -> None:
    push(engine, *"ab")
    push_parked(engine, "c")
    push(engine, "d")
    order: list[str] = []
    while len(order) < 4:
        claims = worker.claim(8)
        order += named(claims)
        assert claims
        for claim in claims:
            worker.end(claim, DONE if claim.gated else ACK)
    assert order == ["a", "b", "c", "d"]


def test_they_are_found_in_a_queue_that_nobody_has_used(engine: Engine) -> None:
    everywhere = Worker(engine, "w9", "n1", queues=None)
    x = everywhere.take("x")
    assert engine.admit([gate()], ("w9", x)).wait == 0
    push_parked(engine, "a", queue="new")
    assert everywhere.claim() == []
    assert count_of(engine, "new") == QueueCounts("new", parked=1)
    everywhere.end(x, DONE)
    assert named([everywhere.claim_soon()]) == ["a"]


def test_a_keeper_hears_of_them(engine: Engine, worker: Worker) -> None:
    while engine.wait(["q"], 0):
        assert worker.claim() == []
    push_parked(engine, "a")
    assert engine.wait(["q"], 5) > 0
    (a,) = worker.claim()
    push_parked(engine, "b")
    while engine.wait(["q"], 0):
        assert worker.claim() == []
    worker.end(a, DONE)
    assert engine.wait(["q"], 5) > 0
    assert named(worker.claim()) == ["b"]


def test_the_number_that_was_named_last_applies(engine: Engine, worker: Worker) -> None:
    push_parked(engine, *"abc")
    assert named(worker.claim()) == ["a"]
    assert worker.claim() == []
    push_parked(engine, "d", rule=gate(limit=3))
    assert named([*worker.claim(), *worker.claim()]) == ["b", "c"]
    assert worker.claim() == []


def test_the_number_that_was_named_last_applies_in_all_queues(engine: Engine) -> None:
    """Also before anybody has asked for the key."""
    serves_both = Worker(engine, "w9", queues=("q", "r"))
    push_parked(engine, "a", rule=gate(limit=2))
    push_parked(engine, "b", queue="r")
    (a,) = serves_both.claim()
    assert serves_both.claim() == []
    serves_both.end(a, DONE)
    assert named(serves_both.claim()) == ["b"]


def test_a_claim_that_has_ended_names_no_number(engine: Engine, worker: Worker) -> None:
    """Of a worker with newer code, whose number would count for all that is dispatched later."""
    engine.accept(worker.name)
    push_parked(engine, "a", rule=gate(limit=2))
    (a,) = worker.claim()
    worker.end(a, DONE)
    assert engine.admit([gate(limit=2)], (worker.name, a)).stale
    push_parked(engine, "b", "c")
    assert named([*worker.claim(), *worker.claim()]) == ["b"]


def test_they_take_turns_with_jobs_that_workers_have_parked(engine: Engine, worker: Worker) -> None:
    asks = worker.take("asks")
    push_parked(engine, "later")
    assert engine.admit([gate()], ("w1", asks)).wait == 0, "it came first"
    assert worker.claim() == []
    behind = worker.take("behind")
    assert engine.admit([gate()], ("w1", behind)).wait > 0


def test_one_that_has_expired_takes_no_slot(engine: Engine, worker: Worker) -> None:
    push_parked(engine, "holds", rule=gate())
    (holds,) = worker.claim()
    late, later = (
        push_parked(engine, "late", expires=1000),
        push_parked(engine, "later", expires=HOUR),
    )
    worker.end(holds, DONE)
    wait_for(engine, engine.now() + 1000)
    (claim,) = worker.claim()
    assert (claim.id, claim.admitted) == (late[0], False)
    assert claim.expires_at > 0
    (claim,) = worker.claim()
    assert (claim.id, claim.gated) == (later[0], True)
