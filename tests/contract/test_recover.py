"""A dead worker's claims: finished jobs are done, the started one is charged, and the rest is given
back, all to the head of its queue, in one operation with the end of the registration."""

from __future__ import annotations

from typing import Any

import pytest

from poolq.engines.base import DeathEnd, DeathReport, Engine, QueueCounts, Recovered
from poolq.jobs.limits import Rule
from poolq.jobs.message import MAX_HISTORY, State, entries
from poolq.jobs.outcomes import Failing, Park, Release
from tests.contract.helpers import (
    HOUR,
    SECOND,
    Worker,
    count_of,
    died,
    every_engine,
    full,
    line,
    named,
    push,
    stored,
    total,
)
from tests.support.clock import Clock

pytestmark = every_engine

OLD = b'{"at":1,"cause":"error"}'


def next_claims(engine: Engine, want: int = 9) -> list[tuple[str, State]]:
    """What the next worker gets."""
    claims = Worker(engine, "heir", "n2").claim(want)
    return [(claim.body.decode(), claim.state) for claim in claims]


def test_a_death_settles_charges_and_gives_back(engine: Engine, worker: Worker) -> None:
    a, b, c, d, _ = push(engine, "a", "b", "c", "d", "e")
    due = [stored(engine, one).at for one in (b, c, d)]
    worker.claim(4)
    recovered = engine.recover("w1", died(finished=1, started=1))
    assert recovered == Recovered(done=(a,), crashed=(b,), returned=(c, d))
    assert engine.find(a) is None
    assert [stored(engine, one).at for one in (b, c, d)] == due
    assert count_of(engine) == QueueCounts("q", ready=4)
    assert (total(engine, "done"), total(engine, "crashed")) == (1, 1)
    crashed = State(crashes=1, history=line())
    fresh = State()
    assert next_claims(engine) == [("b", crashed), ("c", fresh), ("d", fresh), ("e", fresh)]


@pytest.mark.parametrize(
    ("before", "end", "counted", "after"),
    [
        (State(2, 1, 0, OLD), "crash", "crashed", (2, 2, 0)),
        (State(2, 1, 0, OLD), "unknown", "crashed", (2, 2, 0)),
        (State(2, 1, 0, OLD), "timeout", "timed_out", (3, 1, 0)),
        (State(2, 1, 0, OLD), "returned", "returned", (2, 1, 0)),
        (State(1, 0, 1, OLD), "crash", "crashed", (1, 0, 2)),
        (State(1, 0, 1, OLD), "unknown", "crashed", (1, 0, 2)),
        (State(1, 0, 1, OLD), "timeout", "crashed", (1, 0, 2)),
        (State(2, 1, 3, OLD), "returned", "returned", (2, 1, 3)),
    ],
)
def test_a_death_is_added_to_what_was_before(
    engine: Engine, worker: Worker, before: State, end: str, counted: str, after: tuple[int, ...]
) -> None:
    """A job that had failed has died in its hook: that is a crash, even if it is a timeout."""
    claim = worker.take("a")
    worker.end(claim, Failing(before) if before.failing else Release(0, before))
    if not before.failing:
        (claim,) = worker.claim()
    cause: Any = "crash" if end == "unknown" else end
    delay = HOUR if before.failing else 0
    report = DeathReport(claim.request, 0, 0, line(cause), end=cause, delay=delay)
    recovered = engine.recover("w1", None if end == "unknown" else report)
    assert recovered == Recovered()._replace(**{counted: (claim.id,)})
    names = ("crashed", "retried")
    expected = [int(counted == "crashed"), int(counted == "timed_out") + (not before.failing)]
    assert [total(engine, name) for name in names] == expected
    ((_, state),) = next_claims(engine)
    assert state[:3] == after
    assert state.history.startswith(OLD + b"\n")
    assert [told.cause for told in entries(state.history)] == ["error", cause]


@pytest.mark.parametrize("finished", [0, 2, 3])
def test_a_death_between_two_jobs_charges_nobody(
    engine: Engine, worker: Worker, finished: int
) -> None:
    """Nor does one before the first job, or after the last."""
    ids = push(engine, "a", "b", "c")
    worker.claim(3)
    expected = Recovered(done=tuple(ids[:finished]), returned=tuple(ids[finished:]))
    assert engine.recover("w1", died(finished=finished)) == expected
    assert count_of(engine) == QueueCounts("q", ready=3 - finished)
    assert (total(engine, "crashed"), total(engine, "done")) == (0, finished)
    assert next_claims(engine) == [(name, State()) for name in "abc"[finished:]]


def test_finished_ones_that_were_settled_are_not_counted_again(
    engine: Engine, worker: Worker
) -> None:
    _, b, c = push(engine, "a", "b", "c")
    claims = worker.claim(3)
    worker.end(claims[0])
    assert engine.recover("w1", died(finished=2)) == Recovered(done=(b,), returned=(c,))
    assert total(engine, "done") == 2


def test_claims_of_lower_and_of_higher_requests_go_back(engine: Engine, worker: Worker) -> None:
    """A worker does not know claims whose reply has not arrived. Lower ones were settled before: a
    failover has lost that they were done, or given back and never run."""
    a, b, c, d, e, f = push(engine, "a", "b", "c", "d", "e", "f")
    for _ in range(3):
        worker.claim(2)
    recovered = engine.recover("w1", died(request=2, finished=1, started=1))
    assert recovered == Recovered(done=(c,), crashed=(d,), returned=(a, b, e, f))
    assert [name for name, _ in next_claims(engine)] == ["a", "b", "d", "e", "f"]


def test_what_a_store_has_lost_of_settled_claims_goes_back(engine: Engine, worker: Worker) -> None:
    """The first was released and the third done, both acknowledged; then the store lost that. The
    released job must not count as done because one behind it is."""
    a, b, c, d, e, f = push(engine, *"abcdef")
    worker.claim(6)
    recovered = engine.recover("w1", died(settled=3, finished=4, started=4))
    assert recovered == Recovered(done=(d,), crashed=(e,), returned=(a, b, c, f))
    assert [name for name, _ in next_claims(engine)] == ["a", "b", "c", "e", "f"]
    assert total(engine, "done") == 1


def test_nothing_is_done_where_all_was_settled(engine: Engine, worker: Worker) -> None:
    ids = push(engine, "a", "b", "c")
    worker.claim(3)
    recovered = engine.recover("w1", died(settled=2, finished=1))
    assert recovered == Recovered(returned=tuple(ids))


def test_of_an_unknown_death_the_earliest_claim_is_charged(engine: Engine, worker: Worker) -> None:
    a, b, c = push(engine, "a", "b", "c")
    worker.claim(2)
    worker.claim()
    before = engine.now()
    assert engine.recover("w1", None) == Recovered(crashed=(a,), returned=(b, c))
    (first, *rest) = next_claims(engine)
    assert (first[0], first[1].attempt, first[1].crashes, first[1].failing) == ("a", 0, 1, 0)
    (told,) = entries(first[1].history)
    assert told.cause == "crash"
    assert before <= told.at <= engine.now()
    assert rest == [("b", State()), ("c", State())]
    assert total(engine, "crashed") == 1


@pytest.mark.parametrize("known", [True, False])
def test_a_history_does_not_grow_without_end(engine: Engine, worker: Worker, known: bool) -> None:
    """A crash keeps as many lines as any other entry (`message.with_entry`)."""
    lines = [b'{"at":%d,"cause":"error"}' % n for n in range(MAX_HISTORY)]
    worker.end(worker.take("a"), Release(0, State(1, 0, 0, b"\n".join(lines))))
    worker.claim()
    engine.recover("w1", died(request=worker.request, started=0) if known else None)
    ((_, state),) = next_claims(engine)
    after = state.history.split(b"\n")
    assert after[:-1] == [lines[0], *lines[2:]]
    assert entries(after[-1])[0].cause == "crash"


def test_a_failing_job_given_back_is_still_failing(engine: Engine, worker: Worker) -> None:
    claim = worker.take("a")
    worker.end(claim, Failing(State(1, 0, 1)))
    engine.recover("w1", died())
    assert next_claims(engine) == [("a", State(1, 0, 1))]


def test_a_timeout_counts_an_attempt_and_the_job_waits_for_its_delay(
    engine: Engine, worker: Worker, clock: Clock
) -> None:
    a, b = push(engine, "a", "b")
    worker.claim(2)
    report = DeathReport(1, 0, 0, line("timeout"), end="timeout", delay=HOUR)
    recovered = engine.recover("w1", report)
    assert recovered == Recovered(returned=(b,), timed_out=(a,))
    assert (total(engine, "retried"), total(engine, "crashed")) == (1, 0)
    late = stored(engine, a)
    assert (late.status, late.state) == ("delayed", State(1, history=line("timeout")))
    assert late.at == clock.now + HOUR
    assert count_of(engine) == QueueCounts("q", ready=1, delayed=1)
    heir = Worker(engine, "heir", "n2")
    assert named(heir.claim(9)) == ["b"]
    clock.forward(HOUR)
    assert [(claim.id, claim.state) for claim in heir.claim(9)] == [(a, late.state)]


def ended_by_a_person(end: DeathEnd, request: int = 1) -> DeathReport:
    return DeathReport(request, 0, 1, line(end), end=end, delay=HOUR)


def test_a_cancelled_job_is_deleted_and_counted(engine: Engine, worker: Worker) -> None:
    a, b, c = push(engine, "a", "b", "c")
    worker.claim(3)
    recovered = engine.recover("w1", ended_by_a_person("cancelled"))
    assert recovered == Recovered(returned=(a, c), cancelled=(b,))
    assert engine.find(b) is None
    assert count_of(engine) == QueueCounts("q", ready=2)
    counted = {name: count for name, count in engine.totals()["q"].items() if count}
    assert counted == {"cancelled": 1}
    assert next_claims(engine) == [("a", State()), ("c", State())]


def test_a_failing_job_is_cancelled_too(engine: Engine, worker: Worker) -> None:
    claim = worker.take("a")
    worker.end(claim, Failing(State(1, 0, 1, OLD)))
    report = ended_by_a_person("cancelled")._replace(started=0)
    assert engine.recover("w1", report) == Recovered(cancelled=(claim.id,))
    assert count_of(engine) == QueueCounts("q")
    assert (total(engine, "cancelled"), total(engine, "failed")) == (1, 0)


def test_a_job_that_a_person_gives_back_goes_to_the_head_and_counts_as_nothing(
    engine: Engine, worker: Worker
) -> None:
    """It keeps its place, and its history has a line."""
    a, b, c, _ = push(engine, "a", "b", "c", "d")
    worker.claim(3)
    assert engine.recover("w1", ended_by_a_person("returned")) == Recovered(returned=(a, b, c))
    assert count_of(engine) == QueueCounts("q", ready=4)
    assert not any(engine.totals().get("q", {}).values())
    fresh, given_back = State(), State(history=line("returned"))
    assert stored(engine, b).state == given_back
    assert next_claims(engine) == [("a", fresh), ("b", given_back), ("c", fresh), ("d", fresh)]


@pytest.mark.parametrize("end", ["cancelled", "returned"])
def test_what_a_person_has_ended_is_done_if_it_was_finished(
    engine: Engine, worker: Worker, end: DeathEnd
) -> None:
    a, b = push(engine, "a", "b")
    worker.claim(2)
    report = ended_by_a_person(end)._replace(finished=2)
    assert engine.recover("w1", report) == Recovered(done=(a, b))
    assert (total(engine, "done"), total(engine, "cancelled")) == (2, 0)


def test_a_second_recovery_and_one_of_an_unknown_worker_find_nothing(
    engine: Engine, worker: Worker
) -> None:
    worker.take("a")
    engine.recover("w1", None)
    for name in ("w1", "ghost"):
        assert engine.recover(name, None) == Recovered()
        assert engine.recover(name, died(finished=1)) == Recovered()
    assert count_of(engine) == QueueCounts("q", ready=1)
    assert (total(engine, "crashed"), total(engine, "done")) == (1, 0)


def test_a_worker_without_claims_is_only_forgotten(engine: Engine, worker: Worker) -> None:
    worker.end(worker.take("a"))
    assert engine.recover("w1", None) == Recovered()
    assert engine.registered() == []


def test_others_keep_their_claims(engine: Engine, worker: Worker) -> None:
    push(engine, "a", "b")
    worker.claim()
    neighbour = Worker(engine, "w2")
    (claim,) = neighbour.claim()
    engine.recover("w1", None)
    neighbour.end(claim)
    assert [one.worker for one in engine.registered()] == ["w2"]


def test_claims_of_several_queues_go_back_to_their_own(engine: Engine, worker: Worker) -> None:
    for queue in ("x", "y"):
        push(engine, f"{queue}1", f"{queue}2", queue=queue)
    worker.claim(3, ["x", "y"])
    engine.recover("w1", died())
    heir = Worker(engine, "w2")
    assert named(heir.claim(9, ["x"])) == ["x1", "x2"]
    assert named(heir.claim(9, ["y"])) == ["y1", "y2"]


def test_a_recovered_job_comes_before_those_that_were_due_later(
    engine: Engine, worker: Worker
) -> None:
    worker.take("a")
    push(engine, "b")
    engine.recover("w1", None)
    push(engine, "c")
    assert [name for name, _ in next_claims(engine)] == ["a", "b", "c"]


def test_a_job_of_a_paused_queue_goes_back_and_waits(engine: Engine, worker: Worker) -> None:
    worker.take("a")
    engine.pause("q")
    engine.recover("w1", died())
    assert count_of(engine) == QueueCounts("q", ready=1, paused=True)
    assert next_claims(engine) == []


def test_what_waits_is_no_longer_the_workers(engine: Engine, worker: Worker) -> None:
    parked, delayed, runs = worker.take_all("parked", "delayed", "runs")
    worker.end(parked, Park((full(engine),), 0))
    worker.end(delayed, Release(HOUR, State(1)))
    assert engine.recover("w1", None) == Recovered(crashed=(runs.id,))
    assert count_of(engine) == QueueCounts("q", ready=1, parked=1, delayed=1)


def test_hundreds_of_claims_are_recovered_at_once(engine: Engine, worker: Worker) -> None:
    ids = push(engine, *map(str, range(600)))
    worker.claim(600)
    recovered = engine.recover("w1", died(finished=100, started=100))
    assert recovered == Recovered(tuple(ids[:100]), (ids[100],), tuple(ids[101:]))
    assert named(Worker(engine, "w2").claim(600)) == [str(n) for n in range(100, 600)]


def test_a_rule_is_not_given_back_by_a_death(engine: Engine, worker: Worker) -> None:
    rule = Rule("k", 1, 10 * SECOND)
    worker.take("a")
    engine.admit([rule])
    engine.recover("w1", None)
    assert engine.admit([rule]).wait > 0
