"""The lines of parked jobs are sorted by due time, are not blocked by a head that another limit
blocks, and use each slot once, even if its job is given back."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from poolq.engines.base import Engine, QueueCounts
from poolq.jobs.limits import Rule
from poolq.jobs.message import State
from poolq.jobs.outcomes import ACK, GIVE_BACK, Outcome, Park, Release, ReleaseUntil
from tests.contract.helpers import (
    HOUR,
    SECOND,
    Worker,
    count_of,
    died,
    full,
    kind,
    named,
    park,
    push,
    stored,
    used,
)
from tests.support.clock import Clock

MINUTE = 60 * SECOND


def grants(worker: Worker, queues: Sequence[str] = ("q",)) -> list[str]:
    """Claim the jobs that have a slot now, and return them in order."""
    names: list[str] = []
    idle = 0
    while idle < 3:  # a step may only have moved heads that another limit blocks
        claims = worker.claim(1, queues)
        assert all(claim.admitted for claim in claims)
        names += named(claims)
        idle = 0 if claims else idle + 1
    return names


def parked(engine: Engine) -> dict[str, int]:
    return {use.rule.key: use.parked for use in engine.limits() if use.parked}


@pytest.mark.parametrize("held", [1, 2, 7])
def test_heads_that_another_limit_holds_back_hold_up_nobody(
    engine: Engine, worker: Worker, clock: Clock, held: int
) -> None:
    """A hundred a minute for all, one an hour for each user: the guide's own example."""
    wide = full(engine, "all", MINUTE, 20)
    ann, bob = full(engine, "ann"), Rule("bob", 3, HOUR)
    park(worker, *(f"ann{n}" for n in range(held)), rules=[wide, ann])
    park(worker, "bob1", "bob2", rules=[wide, bob])
    assert parked(engine) == {"all": held + 2}
    assert worker.claim() == []
    clock.forward(MINUTE)
    assert grants(worker) == ["bob1", "bob2"]
    assert parked(engine) == {"ann": held}
    assert worker.claim() == []
    clock.forward(HOUR - MINUTE)
    assert grants(worker) == ["ann0"]
    clock.forward(HOUR)
    assert grants(worker) == ["ann1"][: held - 1]


def test_a_moved_job_takes_no_slot_of_the_line_it_left(
    engine: Engine, worker: Worker, clock: Clock
) -> None:
    wide, ann = full(engine, "all", MINUTE), full(engine, "ann")
    park(worker, "ann1", rules=[wide, ann])
    park(worker, "bob1", "bob2", rules=[wide])
    clock.forward(MINUTE)
    assert grants(worker) == ["bob1"]
    assert used(engine) == {"all": 1, "ann": 1}


def test_a_job_that_is_moved_back_regains_its_place(
    engine: Engine, worker: Worker, clock: Clock
) -> None:
    """The first job moves to the other line and back, and comes before those that arrived later."""
    wide, ann = full(engine, "all", 2 * MINUTE), full(engine, "ann", MINUTE)
    park(worker, "ann1", rules=[wide, ann], refused=1)
    clock.forward(1)
    park(worker, "bob1", rules=[wide])
    clock.forward(MINUTE)
    assert grants(worker) == []
    assert parked(engine) == {"all": 2}
    clock.forward(MINUTE)
    assert grants(worker) == ["ann1"]
    clock.forward(2 * MINUTE)
    assert grants(worker) == ["bob1"]


def test_a_line_has_the_order_of_due_times_not_of_parking(
    engine: Engine, worker: Worker, clock: Clock
) -> None:
    rule = Rule("mail", 9, MINUTE)
    for names in ("a", "bc", "d"):
        push(engine, *names)
        clock.forward(1)
    claims = worker.claim(4)
    assert named(claims) == [*"abcd"]
    for claim in (claims[2], claims[0], claims[3], claims[1]):
        worker.end(claim, Park((rule,), 0))
    assert grants(worker) == [*"abcd"]


def test_a_job_that_parks_again_regains_its_place(
    engine: Engine, worker: Worker, clock: Clock
) -> None:
    rule = full(engine, "mail", MINUTE)
    park(worker, "a", "b", rules=[rule])
    clock.forward(MINUTE)
    (claim,) = worker.claim()
    assert named([claim]) == ["a"]
    worker.end(claim, Park((rule,), 0))
    clock.forward(MINUTE)
    assert grants(worker) == ["a"]
    clock.forward(MINUTE)
    assert grants(worker) == ["b"]


def test_the_limit_that_was_named_last_counts_at_a_grant(
    engine: Engine, worker: Worker, clock: Clock
) -> None:
    one = full(engine, "mail", MINUTE)
    park(worker, *"abc", rules=[one])
    park(worker, *"def", rules=[one._replace(limit=2)])
    clock.forward(MINUTE)
    assert grants(worker) == ["a", "b"]
    claim = worker.take("g")
    worker.end(claim, Park((one,), 0))
    clock.forward(MINUTE)
    assert grants(worker) == ["c"]


def test_limits_that_were_both_raised_let_an_old_job_start(engine: Engine, worker: Worker) -> None:
    """Even under the limit in whose line it does not wait."""
    old = Rule("k", 1, HOUR), Rule("m", 1, HOUR)
    new = Rule("k", 5, HOUR), Rule("m", 5, HOUR)
    engine.admit(old)
    claims = worker.take_all("old", "k", "m")
    for claim, rules in zip(claims, (old, new[:1], new[1:]), strict=True):
        worker.end(claim, Park(rules, 0))
    assert named(worker.claim()) == ["old"]
    assert sorted(named([*worker.claim(), *worker.claim()])) == ["k", "m"]


def test_a_parked_job_of_a_later_queue_waits_for_the_ready_ones_of_the_first(
    engine: Engine, worker: Worker, clock: Clock
) -> None:
    park(worker, "q1", rules=[Rule("mail", 9, HOUR)])
    push(engine, "high1", "high2", queue="high")
    assert named(worker.claim(1, ["high", "q"])) == ["high1"]
    claims = worker.claim(9, ["high", "q"])
    assert [(*named([claim]), claim.admitted) for claim in claims] == [
        ("high2", False),
        ("q1", True),
    ]


@pytest.mark.parametrize("want", [1, 9])
def test_of_each_queue_in_order_the_parked_job_comes_first(
    engine: Engine, worker: Worker, clock: Clock, want: int
) -> None:
    rule = Rule("mail", 9, HOUR)
    queues = ["high", "q", "low"]
    for queue in queues:
        push(engine, f"{queue}-parked", queue=queue)
    for claim in worker.claim(3, queues):
        worker.end(claim, Park((rule,), 0))
    for queue in queues:
        push(engine, f"{queue}-ready", queue=queue)
    names: list[str] = []
    while claims := worker.claim(want, queues):
        names += named(claims)
    assert names == [f"{queue}-{what}" for queue in queues for what in ("parked", "ready")]


def test_queues_that_are_not_in_order_are_all_served(
    engine: Engine, worker: Worker, clock: Clock
) -> None:
    park(worker, "parked", rules=[Rule("mail", 9, HOUR)])
    push(engine, "x1", "x2", "x3", queue="other")
    names = named([claim for _ in range(4) for claim in worker.claim(1, None)])
    assert sorted(names) == ["parked", "x1", "x2", "x3"]
    assert [name for name in names if name != "parked"] == ["x1", "x2", "x3"]


@pytest.mark.parametrize("way", ["given back", "recovered"])
def test_a_granted_job_that_never_started_keeps_its_slot_and_its_place(
    engine: Engine, worker: Worker, clock: Clock, way: str
) -> None:
    (pushed,) = park(worker, "a", rules=[Rule("mail", 1, MINUTE)])
    clock.forward(SECOND)
    push(engine, "b")
    (claim,) = worker.claim()
    assert claim.admitted
    if way == "recovered":
        engine.recover("w1", died(request=worker.request))
    else:
        worker.end(claim, GIVE_BACK)
    assert stored(engine, pushed).status == "ready"
    clock.forward(MINUTE - SECOND - 1)
    heir = Worker(engine, "w2")
    (again,) = heir.claim()
    assert (again.id, again.admitted) == (pushed, True)
    assert used(engine) == {"mail": 1}
    heir.end(again)
    assert [claim.admitted for claim in heir.claim(2)] == [False]


@pytest.mark.parametrize("way", ["given back", "recovered"])
def test_a_slot_is_over_with_its_window(
    engine: Engine, worker: Worker, clock: Clock, way: str
) -> None:
    """Its start would fall into the next window, whose slots belong to other jobs."""
    (pushed,) = park(worker, "a", rules=[Rule("mail", 1, MINUTE)])
    push(engine, "b")
    (claim,) = worker.claim()
    if way == "recovered":
        engine.recover("w1", died(request=worker.request))
    else:
        worker.end(claim, GIVE_BACK)
    clock.forward(MINUTE)
    claims = Worker(engine, "w2").claim(2)
    assert [(claim.id == pushed, claim.admitted) for claim in claims] == [
        (True, False),
        (False, False),
    ]
    assert used(engine) == {}


def test_of_several_slots_the_first_to_end_counts(
    engine: Engine, worker: Worker, clock: Clock
) -> None:
    park(worker, "a", rules=[Rule("all", 9, HOUR), Rule("mail", 1, MINUTE)])
    worker.end(worker.claim()[0], GIVE_BACK)
    clock.forward(MINUTE - 1)
    (claim,) = worker.claim()
    assert claim.admitted
    worker.end(claim, GIVE_BACK)
    clock.forward(1)
    assert [claim.admitted for claim in worker.claim()] == [False]


def test_a_slot_ends_with_the_window_it_was_taken_in(
    engine: Engine, worker: Worker, clock: Clock
) -> None:
    rule = full(engine, "mail", MINUTE)._replace(limit=2)
    clock.forward(MINUTE // 2)
    park(worker, "a", rules=[rule])
    (claim,) = worker.claim()
    assert claim.admitted
    worker.end(claim, GIVE_BACK)
    clock.forward(MINUTE // 2)
    assert engine.admit([rule]).wait == 0
    assert [claim.admitted for claim in worker.claim()] == [False]


@pytest.mark.parametrize("end", ["crash", "returned", "released"])
def test_a_job_that_had_started_has_used_its_slot(
    engine: Engine, worker: Worker, clock: Clock, end: str
) -> None:
    park(worker, "a", rules=[Rule("mail", 1, MINUTE)])
    (claim,) = worker.claim()
    if end == "released":
        worker.end(claim, Release(0, State(1)))
    else:
        report = died(request=worker.request, started=0)
        engine.recover("w1", report._replace(end=end))
    assert [claim.admitted for claim in Worker(engine, "w2").claim()] == [False]


def test_a_slot_that_was_kept_is_not_kept_by_what_comes_after(
    engine: Engine, worker: Worker, clock: Clock
) -> None:
    """Given back, claimed, and released after its start: the next start asks again."""
    rule = Rule("mail", 1, MINUTE)
    park(worker, "a", rules=[rule])
    worker.end(worker.claim()[0], GIVE_BACK)
    (claim,) = worker.claim()
    assert claim.admitted
    worker.end(claim, Release(0, State(1)))
    (claim,) = worker.claim()
    assert not claim.admitted
    worker.end(claim, Park((rule,), 0))
    assert grants(worker) == []
    clock.forward(MINUTE)
    assert grants(worker) == ["a"]


def test_a_step_that_is_repeated_tells_of_the_slot_again(
    engine: Engine, worker: Worker, clock: Clock
) -> None:
    park(worker, "a", rules=[Rule("mail", 1, MINUTE)])
    worker.end(worker.claim()[0], GIVE_BACK)
    step = worker.step(want=1)
    assert [claim.admitted for claim in step.claims] == [True]
    clock.forward(MINUTE)
    assert worker.again(want=1).claims == step.claims


def test_a_line_without_jobs_hides_no_other(engine: Engine, worker: Worker, clock: Clock) -> None:
    """Its slot came earlier, and the engine has not noticed that its last job is gone."""
    wide = full(engine, "all", MINUTE)
    park(worker, "b", rules=[wide])
    park(worker, "a", rules=[Rule("mail", 2, MINUTE)])
    assert named(worker.claim()) == ["a"]
    push(engine, "c")
    clock.forward(MINUTE)
    assert [(*named([claim]), claim.admitted) for claim in worker.claim()] == [("b", True)]


def test_what_has_left_a_line_is_no_longer_in_it(
    engine: Engine, worker: Worker, clock: Clock
) -> None:
    """Cancelled, purged or done: nothing is left of the line."""
    wide, ann = full(engine, "all", MINUTE), full(engine, "ann")
    first, *_ = park(worker, "ann1", "ann2", rules=[wide, ann])
    park(worker, "bob1", rules=[wide])
    clock.forward(MINUTE)
    (claim,) = worker.claim()
    worker.end(claim, ACK)
    assert engine.cancel([first])
    assert engine.purge("q") == 1
    assert parked(engine) == {}
    assert count_of(engine) == QueueCounts("q")
    assert worker.step(want=1)[:2] == ([], [])


def test_a_granted_job_that_is_recovered_unstarted_keeps_its_slot(
    engine: Engine, worker: Worker
) -> None:
    first, second = worker.take_all(*"ab")
    worker.end(second, Park((Rule("k", 1, HOUR),), 0))
    granted = worker.claim_soon()
    assert named([granted]) == ["b"]
    engine.recover("w1", None)  # the first is assumed to have crashed
    again = Worker(engine, "w2").claim(2)
    assert [(one.body, one.admitted) for one in again] == [(b"a", False), (b"b", True)]
    assert first.request < granted.request


@pytest.mark.parametrize(
    "outcome",
    [ReleaseUntil(1, State(1), Rule("k", 1, HOUR)), Park((Rule("r", 1, HOUR),), 0)],
    ids=kind,
)
def test_a_granted_job_that_ends_otherwise_loses_its_slot(
    engine: Engine, worker: Worker, outcome: Outcome
) -> None:
    park(worker, "a", rules=[Rule("k", 1, HOUR)])
    worker.end(worker.claim_soon(), outcome)
    claim = worker.claim_soon()
    assert claim.admitted == isinstance(outcome, Park), "of the other limit"
    worker.end(claim, ACK)
