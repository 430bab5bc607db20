"""Parked jobs wait off the queue, in order, and get a slot in the operation that claims them."""

from __future__ import annotations

import pytest

from poolq.engines.base import Claim, DeathReport, Engine, QueueCounts, Settlement
from poolq.jobs.limits import Asked, Gate, Rule
from poolq.jobs.message import State
from poolq.jobs.outcomes import ACK, GIVE_BACK, Park
from tests.contract.crowd import Crowd, take_parked
from tests.contract.helpers import (
    HOUR,
    SECOND,
    Worker,
    count_of,
    every_engine,
    full,
    named,
    park,
    push,
    stored,
    used,
)
from tests.support.clock import Clock
from tests.support.wait import until

pytestmark = every_engine

WINDOW = 60 * SECOND


def test_a_parked_job_waits_for_its_slot_and_then_holds_it(
    engine: Engine, worker: Worker, clock: Clock
) -> None:
    rule = full(engine, window=WINDOW)
    (pushed,) = park(worker, "a", rules=[rule])
    clock.forward(WINDOW - 1)
    assert worker.claim() == []
    moment = clock.forward(1)
    claim = worker.claim_soon()
    assert (claim.id, claim.queue, claim.body, claim.admitted) == (pushed, "q", b"a", True)
    assert claim.state == State()
    (use,) = engine.limits()
    assert (use.window.used, use.parked) == (1, 0)
    assert use.window.start == stored(engine, pushed).at == moment
    worker.end(claim)
    assert count_of(engine) == QueueCounts("q")


def test_a_step_claims_the_parked_jobs_of_a_line_that_have_room_and_they_come_first(
    engine: Engine, worker: Worker
) -> None:
    rule = Rule("k", 3, HOUR)
    push(engine, "a", "b", "c", "d")
    parked = [Settlement(claim, Park((rule,), 0)) for claim in worker.claim(4)]
    push(engine, "e", "f")
    claims = [*worker.step(*parked, want=2).claims, *worker.claim(9)]
    assert named(claims[:3]) == ["a", "b", "c"]
    assert [claim.admitted for claim in claims[:3]] == [True] * 3
    assert named([*claims[3:], *worker.claim(9)]) == ["e", "f"]
    assert used(engine)["k"] == 3
    assert count_of(engine).parked == 1


@pytest.mark.parametrize(
    "rule", [Rule("k", 5, HOUR, sliding=True), Gate("k", 5)], ids=["sliding", "gate"]
)
def test_a_step_claims_one_parked_job_whose_slot_is_of_no_use_in_the_worker(
    engine: Engine, worker: Worker, rule: Asked
) -> None:
    park(worker, "a", "b", "c", rules=[rule])
    assert [named(worker.claim(9)) for _ in range(4)] == [["a"], ["b"], ["c"], []]


def test_a_line_lets_pass_as_many_jobs_as_their_cost_allows(
    engine: Engine, worker: Worker, clock: Clock
) -> None:
    park(worker, "a", "b", "c", rules=[full(engine, "k", WINDOW, 5)._replace(cost=2)])
    clock.forward(WINDOW)
    assert named(worker.claim(9)) == ["a", "b"]
    assert worker.claim(9) == []
    assert used(engine)["k"] == 4


def test_jobs_of_a_line_that_another_limit_holds_back_let_later_ones_pass(
    engine: Engine, worker: Worker, clock: Clock
) -> None:
    wide, other = full(engine, "k", WINDOW, 9), full(engine)
    park(worker, "a", rules=[wide])
    park(worker, "b", rules=[wide, other])
    park(worker, "c", "d", rules=[wide])
    clock.forward(WINDOW)
    found = [*worker.claim(9), *worker.claim(9)]
    assert named(found) == ["a", "c", "d"]
    assert used(engine)["k"] == 3


def test_the_slots_of_a_dead_workers_claims_are_theirs_until_the_window_ends(
    engine: Engine, worker: Worker, clock: Clock
) -> None:
    """A step has given them slots, and none has started."""
    park(worker, "a", "b", "c", rules=[full(engine, "k", WINDOW, 3)])
    clock.forward(WINDOW)
    assert named(worker.claim(9)) == ["a", "b", "c"]
    engine.recover(worker.name, DeathReport(worker.request, 0, -1, b""))
    other = Worker(engine, "w2", "n1")
    claims = other.claim(2)
    assert [claim.admitted for claim in claims] == [True, True]
    other.step(*(Settlement(claim, GIVE_BACK) for claim in claims))
    assert used(engine)["k"] == 3
    clock.forward(WINDOW)
    claims = other.claim(9)
    assert named(claims) == ["a", "b", "c"]
    assert not any(claim.admitted for claim in claims), "their slots are over"


@pytest.mark.parametrize("queues", ["qqq", "qrs"])
def test_parked_jobs_of_one_line_a_step_of_all_keys_and_queues(
    engine: Engine, worker: Worker, queues: str
) -> None:
    for n, queue in enumerate(queues):
        push(engine, f"k{n}", queue=queue)
    claims = worker.claim(3, list("qrs"))
    rules = [Rule(claim.body.decode(), 1, HOUR) for claim in claims]
    pairs = zip(claims, rules, strict=True)
    worker.step(*(Settlement(claim, Park((rule,), 0)) for claim, rule in pairs))
    granted = [worker.claim(9, list("qrs")) for _ in range(4)]
    assert [len(some) for some in granted] == [1, 1, 1, 0]
    assert sorted(named([claim for some in granted for claim in some])) == ["k0", "k1", "k2"]


@pytest.mark.parametrize("refused", [0, 1])
def test_a_job_parked_under_two_rules_is_given_both_slots(
    engine: Engine, worker: Worker, clock: Clock, refused: int
) -> None:
    short, wide = full(engine, "short", WINDOW), Rule("wide", 9, HOUR)
    rules = [short, wide] if refused == 0 else [wide, short]
    park(worker, "a", rules=rules, refused=refused)
    clock.forward(WINDOW)
    assert worker.claim_soon().admitted
    assert used(engine)["wide"] == 1


def test_a_paused_queue_gives_no_parked_job_and_takes_no_slot(
    engine: Engine, worker: Worker
) -> None:
    park(worker, "a", rules=[Rule("k", 1, HOUR)])
    engine.pause("q")
    assert worker.claim() == []
    assert used(engine) == {}
    assert count_of(engine) == QueueCounts("q", parked=1, paused=True)
    engine.resume("q")
    assert worker.claim_soon().admitted


def test_a_parked_job_of_a_queue_not_asked_for_holds_up_no_other(
    engine: Engine, worker: Worker, clock: Clock
) -> None:
    """Both wait for the same key, and the first in line is in a paused queue."""
    rule = full(engine, window=WINDOW)
    park(worker, "a", rules=[rule])
    (theirs,) = push(engine, "b", queue="r")
    (claim,) = worker.claim(1, ["r"])
    worker.end(claim, Park((rule,), 0))
    engine.pause("q")
    clock.forward(WINDOW)
    (claim,) = until(lambda: worker.claim(1, ["r"]), 5, "the slot")
    assert (claim.id, claim.admitted) == (theirs, True)


def test_a_cancelled_parked_job_leaves_its_place_to_the_next(
    engine: Engine, worker: Worker, clock: Clock
) -> None:
    first, _ = park(worker, "a", "b", rules=[full(engine, window=WINDOW)])
    assert engine.cancel([first])
    clock.forward(WINDOW)
    assert named([worker.claim_soon()]) == ["b"]
    assert count_of(engine) == QueueCounts("q", running=1)


def test_a_limit_with_parked_jobs_is_shown_after_its_window(
    engine: Engine, worker: Worker, clock: Clock
) -> None:
    rule = full(engine, window=WINDOW)
    park(worker, "a", rules=[rule])
    clock.forward(WINDOW)
    (use,) = engine.limits()
    assert (use.rule, use.parked) == (rule, 1)
    assert (use.window.used, use.resets_in) == (0, 0), "what is over holds nothing back"


def test_workers_that_step_at_once_get_no_more_than_the_limit(
    engine: Engine, worker: Worker, crowd: Crowd
) -> None:
    rule = Rule("k", 5, HOUR)
    (blocker,) = push(engine, "blocker")
    ids = push(engine, *map(str, range(20)))
    claims: list[Claim] = worker.claim(21)
    worker.step(*(Settlement(claim, Park((rule,), 0)) for claim in claims[1:]))
    worker.end(claims[0], ACK)
    taken = crowd.act(take_parked, engine.url, engine.namespace, 15)
    assert sorted(one for some in taken for one in some) == ids[:5]
    assert count_of(engine) == QueueCounts("q", parked=15)
    assert engine.find(blocker) is None
    assert used(engine)["k"] == 5


@pytest.mark.parametrize("queues", [("q",), None], ids=["named", "all"])
def test_parked_jobs_keep_their_place_among_ready_ones_in_large_batches(
    engine: Engine, clock: Clock, queues: tuple[str, ...] | None
) -> None:
    """A step leaves younger ready ones to the next while more parked ones may start."""
    worker = Worker(engine, queues=queues)
    rule = Rule("k", 100, WINDOW)
    parked = [f"parked {n:02}" for n in range(50)]
    engine.admit([rule._replace(cost=100)])
    park(worker, *parked, rules=[rule])
    clock.forward(WINDOW)
    ready = [f"ready {n:03}" for n in range(500)]
    push(engine, *ready)
    found: list[str] = []
    steps = 0
    while claims := worker.claim(100):
        found += named(claims)
        steps += 1
    assert found == [*parked, *ready]
    assert steps <= 1 + 5


@pytest.mark.parametrize("queues", [("q",), None], ids=["named", "all"])
def test_ready_jobs_that_are_older_than_parked_ones_come_first_in_large_batches(
    engine: Engine, clock: Clock, queues: tuple[str, ...] | None
) -> None:
    worker = Worker(engine, queues=queues)
    rule = Rule("k", 100, WINDOW)
    engine.admit([rule._replace(cost=100)])
    park(worker, "parked 1", rules=[rule])
    clock.forward(SECOND)
    push(engine, "ready 1", "ready 2")
    clock.forward(SECOND)
    ready = worker.claim(2)
    park(worker, "parked 2", "parked 3", rules=[rule])
    worker.step(*(Settlement(claim, GIVE_BACK) for claim in ready))
    clock.forward(SECOND)
    push(engine, "ready 3")
    clock.forward(WINDOW)
    found: list[str] = []
    while claims := worker.claim(100):
        found += named(claims)
    assert found == ["parked 1", "ready 1", "ready 2", "parked 2", "parked 3", "ready 3"]
