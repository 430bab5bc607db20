"""Which job is next: the one that became due first, even if a limit, an error or a death has put it
off; jobs with the same due time are sorted by id."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from poolq.engines.base import Claim, Engine, Push, QueueCounts, Recovered, Settlement
from poolq.jobs.limits import NOT_YET, Gate, Rule
from poolq.jobs.message import State
from poolq.jobs.outcomes import ACK, DONE, GIVE_BACK, Outcome, Park, Release, ReleaseUntil
from tests.contract.helpers import (
    HOUR,
    SECOND,
    Worker,
    bury,
    count_of,
    died,
    every_engine,
    kind,
    named,
    new_id,
    push,
    stored,
    total,
)
from tests.support.clock import Clock

MINUTE = 60 * SECOND
RULE = Rule("mail", 2, MINUTE)


def put_off(worker: Worker, claim: Claim, moment: int, state: State = State(1)) -> None:
    """Let a limit release a claimed job until then."""
    worker.end(claim, ReleaseUntil(moment, state, RULE))


def start(worker: Worker, want: int, rule: Rule) -> list[str]:
    """Claim jobs, run those that the limit admits, and release the rest. Returns the names that
    ran."""
    ran: list[str] = []
    ends: list[Settlement] = []
    for claim in worker.claim(want):
        admission = worker.engine.admit([rule], (worker.name, claim))
        outcome: Outcome = ACK
        if admission.wait:
            state = claim.state._replace(attempt=claim.state.attempt + 1)
            outcome = ReleaseUntil(admission.until, state, rule)
        else:
            ran += named([claim])
        ends.append(Settlement(claim, outcome))
    assert worker.step(*ends).stale == []
    return ran


def start_all(workers: Sequence[Worker], want: int, rule: Rule) -> list[str]:
    """Let the workers step in turn until nothing can be claimed any more."""
    ran: list[str] = []
    while count_of(workers[0].engine).ready:
        for worker in workers:
            ran += start(worker, want, rule)
    return ran


def test_the_documented_scenario(engine: Engine, worker: Worker, clock: Clock) -> None:
    """Of ten mails at two a minute, the first two run, and a minute later the next two."""
    push(engine, *map(str, range(10)))
    for window in range(5):
        assert start_all([worker], 3, RULE) == [str(2 * window), str(2 * window + 1)]
        clock.forward(MINUTE)
    assert count_of(engine) == QueueCounts("q")
    assert total(engine, "limited") == 8 + 6 + 4 + 2


@pytest.mark.parametrize("want", [1, 4])
def test_many_workers_run_window_by_window(
    engine: Engine, worker: Worker, clock: Clock, want: int
) -> None:
    rule = RULE._replace(limit=5)
    names = [f"{n:02}" for n in range(30)]
    push(engine, *names)
    workers = [worker, *(Worker(engine, f"w{n}") for n in range(2, 9))]
    for at in range(0, 30, 5):
        assert sorted(start_all(workers, want, rule)) == names[at : at + 5]
        clock.forward(MINUTE)


def test_the_third_does_not_wait_behind_those_that_no_step_has_noticed(
    engine: Engine, worker: Worker, clock: Clock
) -> None:
    names = [f"{n:04}" for n in range(2000)]
    push(engine, *names)
    assert start(worker, 3, RULE) == names[:2]
    assert named(worker.claim(2)) == names[3:5]
    clock.forward(MINUTE)
    assert named(worker.claim(3)) == [names[2], *names[5:7]]


@pytest.mark.parametrize("other", [None, Gate("gate", 3), Rule("day", 99, HOUR)])
def test_a_start_waits_for_earlier_jobs_that_its_limit_has_released(
    engine: Engine, worker: Worker, clock: Clock, other: Rule | None
) -> None:
    """A job that was claimed before the window ended must not take the starts of those that the
    limit put off before, until they are claimed. It is given back, without an attempt."""
    rules = [RULE] if other is None else [other, RULE]
    names = [f"{n:02}" for n in range(9)]
    push(engine, *names)
    assert start(worker, 6, RULE) == names[:2]
    late = Worker(engine, "w2")
    (held, second) = late.claim(2)
    assert named([held, second]) == names[6:8]
    assert engine.admit(rules, (late.name, held)).wait > 1
    clock.forward(MINUTE)
    refused = engine.admit(rules, (late.name, held))
    assert refused == NOT_YET
    assert engine.admit([Rule("another", 5, MINUTE)], (late.name, held)).wait == 0
    late.end(held, GIVE_BACK)
    first = worker.claim(1)
    assert named(first) == [names[2]]
    assert engine.admit(rules, (worker.name, first[0])).wait == 0
    assert engine.admit(rules, (late.name, second)).not_yet, "three more are due"
    rest = worker.claim(3)
    assert named(rest) == names[3:6]
    assert engine.admit(rules, (late.name, second)).wait == 0, "they are claimed"
    assert engine.admit(rules, (worker.name, rest[0])).wait > 1
    (again,) = late.claim(1)
    assert (named([again]), again.state.attempt) == ([names[6]], 0)


def test_ties_are_decided_by_the_ids(engine: Engine, worker: Worker, clock: Clock) -> None:
    """All jobs of one call have the same due time, in whatever order they come back."""
    names = [f"{n:02}" for n in range(40)]
    push(engine, *names)
    claims = worker.claim(30)
    assert named(claims) == names[:30]
    for claim in claims[::-3]:
        put_off(worker, claim, clock.now + MINUTE)
    for claim in claims[1::3]:
        worker.end(claim, GIVE_BACK)
    for claim in claims[-3::-3]:
        put_off(worker, claim, clock.now + MINUTE)
    clock.forward(MINUTE)
    assert named(worker.claim(50)) == names


def test_a_released_job_is_not_claimed_before_its_time(
    engine: Engine, worker: Worker, clock: Clock
) -> None:
    (pushed,) = push(engine, "a")
    due = clock.now
    clock.forward(SECOND)
    put_off(worker, worker.claim()[0], due + MINUTE, State(1, history=b"{}"))
    found = stored(engine, pushed)
    assert (found.status, found.at) == ("delayed", due + MINUTE)
    assert count_of(engine) == QueueCounts("q", delayed=1)
    assert worker.step(want=1)[:2] == ([], [])
    assert worker.claim(1, None) == []
    clock.forward(MINUTE - SECOND - 1)
    assert worker.step(want=1)[:2] == ([], [])
    clock.forward(1)
    found = stored(engine, pushed)
    assert (found.status, found.at) == ("ready", due)
    assert count_of(engine) == QueueCounts("q", ready=1)
    (claim,) = worker.claim()
    assert (claim.id, claim.state, claim.admitted) == (pushed, State(1, history=b"{}"), False)
    assert (total(engine, "limited"), total(engine, "retried")) == (1, 0)


@pytest.mark.parametrize("want", [1, 3])
@pytest.mark.parametrize("rules", [(RULE, RULE), (RULE, Rule("other", 1, MINUTE))], ids=["", "two"])
def test_released_jobs_that_are_all_due_come_in_their_order_not_in_that_of_their_ends(
    engine: Engine, worker: Worker, clock: Clock, want: int, rules: Sequence[Rule]
) -> None:
    """As with `jitter`, or if several limits have released them."""
    push(engine, *"abcdef")
    for at, claim in enumerate(worker.claim(6)):
        moment = engine.now() + MINUTE - at * SECOND
        worker.end(claim, ReleaseUntil(moment, State(1), rules[at % 2]))
    clock.forward(2 * MINUTE)
    came = [worker.claim(want) for _ in range(6 // want)]
    assert "".join(name for claims in came for name in named(claims)) == "abcdef"


@every_engine
def test_a_step_ends_that_finds_delayed_jobs_which_were_due_before_parked_ones(
    engine: Engine, worker: Worker, clock: Clock
) -> None:
    """After the clock has gone back, they are not due, although they come first."""
    push(engine, "a", "b")
    engine.admit([RULE._replace(cost=2)])
    worker.step(*(Settlement(claim, Park((RULE,), 0)) for claim in worker.claim(2)))
    clock.back(HOUR)
    push(engine, "later", delay=MINUTE)
    assert named(worker.claim(3) + worker.claim(3)) == ["a", "b"]
    clock.forward(MINUTE)
    assert named(worker.claim(3)) == ["later"]


@every_engine
def test_a_job_whose_gate_has_room_starts_although_the_clock_goes_back(
    engine: Engine, worker: Worker, clock: Clock
) -> None:
    gate = Gate("k", 1)
    runs, waits = (Push(new_id(), "q", name) for name in (b"a", b"b"))
    engine.push([replace(runs, gate=gate), replace(waits, gate=gate)])
    (claim,) = worker.claim()
    assert worker.claim() == []
    clock.forward(HOUR)
    worker.end(claim, DONE)
    clock.back(MINUTE)
    assert named(worker.claim() or worker.claim()) == ["b"]


def test_a_release_until_the_past_puts_off_nothing(
    engine: Engine, worker: Worker, clock: Clock
) -> None:
    push(engine, "a")
    clock.forward(SECOND)
    push(engine, "b")
    put_off(worker, worker.claim()[0], clock.now - 1)
    assert named(worker.claim(2)) == ["a", "b"]


def test_each_released_job_has_its_own_time(engine: Engine, worker: Worker, clock: Clock) -> None:
    """Jitter makes them differ: those whose time has come are sorted by due time."""
    push(engine, *"abcd")
    waits = dict(zip("abcd", (3, 1, 2, 1), strict=True))
    for claim in worker.claim(4):
        put_off(worker, claim, clock.now + MINUTE + waits[named([claim])[0]])
    clock.forward(MINUTE + 1)
    assert named(worker.claim()) == ["b"]
    clock.forward(1)
    assert named(worker.claim(4)) == ["c", "d"]
    assert worker.claim() == []
    clock.forward(1)
    assert named(worker.claim(4)) == ["a"]


def test_the_order_against_all_others(engine: Engine, worker: Worker, clock: Clock) -> None:
    """By due time: a retry after an error has a new one, everything else keeps its own."""
    moments = clock.now + MINUTE
    names = ["released", "erring", "given back", "recovered", "timed out"]
    other = Worker(engine, "w2")
    claims = []
    for name in names:
        push(engine, name)
        clock.forward(1)
        claims += (other if name == "recovered" else worker).claim()
    clock.forward(SECOND)
    put_off(worker, claims[0], moments)
    push(engine, "delayed", at=moments - 3)
    worker.end(claims[1], Release(moments - 2 - clock.now, State(1)))
    worker.end(claims[4], Release(0, State(1)))
    engine.recover("w2", None)
    worker.end(claims[2], GIVE_BACK)
    clock.forward(1)
    push(engine, "fresh")
    clock.forward(moments - clock.now)
    push(engine, "last")
    expected = ["released", "given back", "recovered", "timed out", "fresh", "delayed", "erring"]
    assert worker.drain() == [*expected, "last"]


def test_a_failed_job_that_is_retried_comes_after_a_released_one(
    engine: Engine, worker: Worker, clock: Clock
) -> None:
    failed = bury(worker, "failed")
    clock.forward(1)
    push(engine, "released")
    put_off(worker, worker.claim()[0], clock.now + MINUTE)
    clock.forward(1)
    engine.retry([failed])
    clock.forward(MINUTE)
    assert named(worker.claim(2)) == ["released", "failed"]


def test_a_job_keeps_its_place_however_often_it_is_put_off(
    engine: Engine, worker: Worker, clock: Clock
) -> None:
    (first,) = push(engine, "a")
    due = clock.now
    clock.forward(1)
    push(engine, "b")
    for tries in range(1, 4):
        put_off(worker, worker.claim()[0], clock.now + MINUTE, State(tries))
        clock.forward(MINUTE)
    assert stored(engine, first).at == due
    assert [(claim.body, claim.state.attempt) for claim in worker.claim(2)] == [
        (b"a", 3),
        (b"b", 0),
    ]


@pytest.mark.parametrize("outcome", [GIVE_BACK, Park((RULE,), 0)], ids=kind)
def test_a_job_that_was_put_off_has_its_place_after_that(
    engine: Engine, worker: Worker, clock: Clock, outcome: Outcome
) -> None:
    push(engine, "a")
    clock.forward(1)
    push(engine, "b", "c")
    put_off(worker, worker.claim()[0], clock.now + MINUTE)
    clock.forward(MINUTE)
    worker.end(worker.claim()[0], outcome)
    claims = worker.claim(3) + worker.claim(3)
    assert named(claims) == ["a", "b", "c"]


def test_each_queue_has_its_own_order(engine: Engine, worker: Worker, clock: Clock) -> None:
    push(engine, "a")
    push(engine, "x", queue="other")
    for claim in worker.claim(2, ["q", "other"]):
        put_off(worker, claim, clock.now + MINUTE)
    clock.forward(MINUTE)
    assert named(worker.claim(2, ["other"])) == ["x"]
    engine.pause("q")
    assert worker.step(want=2)[:2] == ([], [])
    engine.resume("q")
    assert named(worker.claim(2)) == ["a"]


@pytest.mark.parametrize("moved", [0, MINUTE])
def test_released_jobs_can_be_cancelled_and_purged(
    engine: Engine, worker: Worker, clock: Clock, moved: int
) -> None:
    ids = push(engine, "a", "b", "c")
    for claim in worker.claim(3):
        put_off(worker, claim, clock.now + MINUTE)
    clock.forward(moved)
    assert engine.cancel(ids[:1]) == ids[:1]
    assert [engine.find(one) is None for one in ids] == [True, False, False]
    assert engine.purge("q") == 2
    assert [engine.find(one) for one in ids] == [None] * 3
    assert count_of(engine) == QueueCounts("q")
    assert [use.released for use in engine.limits()] == []
    clock.forward(MINUTE)
    assert worker.step(want=1)[:2] == ([], [])


def test_a_death_returns_a_job_to_its_place(engine: Engine, worker: Worker, clock: Clock) -> None:
    (first,) = push(engine, "a")
    clock.forward(1)
    push(engine, "b")
    put_off(worker, worker.claim()[0], clock.now + MINUTE)
    clock.forward(MINUTE)
    worker.claim()
    assert engine.recover("w1", died(request=worker.request)) == Recovered(returned=(first,))
    (claim,) = Worker(engine, "w2").claim()
    assert (claim.body, claim.state) == (b"a", State(1))


def test_a_released_job_no_longer_belongs_to_its_worker(
    engine: Engine, worker: Worker, clock: Clock
) -> None:
    claim = worker.take("a")
    put_off(worker, claim, clock.now + MINUTE)
    assert worker.step(Settlement(claim, ACK)).stale == [claim.id]
    assert worker.step(Settlement(claim, GIVE_BACK)).stale == [claim.id]
    assert engine.recover("w1", None) == Recovered()
    assert stored(engine, claim.id).at == clock.now + MINUTE
