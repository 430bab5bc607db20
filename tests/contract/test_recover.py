"""A dead worker's claims: finished jobs are done, the started one is charged, and the rest is given
back, all to the head of its queue, in one operation with the end of the registration."""

from __future__ import annotations

import pytest

from poolq.engines.base import (
    DeathEnd,
    DeathReport,
    Engine,
    QueueCounts,
    Recovered,
    Settlement,
)
from poolq.jobs.limits import Rule
from poolq.jobs.message import MAX_HISTORY, State, entries
from poolq.jobs.retry import ACK, Failing, Park, Release
from tests.contract.helpers import (
    HOUR,
    MS,
    SECOND,
    Worker,
    count_of,
    died,
    every_engine,
    full,
    line,
    named,
    park,
    push,
    stored,
    total,
)
from tests.support.wait import until

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


def test_a_crash_is_added_to_what_was_before(engine: Engine, worker: Worker) -> None:
    push(engine, "a")
    worker.end(worker.claim()[0], Release(0, State(2, 1, 0, OLD)))
    worker.claim()
    engine.recover("w1", died(request=3, started=0))
    assert next_claims(engine) == [("a", State(2, 2, 0, OLD + b"\n" + line()))]


def test_a_death_between_two_jobs_charges_nobody(engine: Engine, worker: Worker) -> None:
    a, b, c = push(engine, "a", "b", "c")
    worker.claim(3)
    assert engine.recover("w1", died(finished=2)) == Recovered(done=(a, b), returned=(c,))
    assert total(engine, "crashed") == 0
    assert next_claims(engine) == [("c", State())]


def test_a_death_after_the_last_job_has_only_finished_ones(engine: Engine, worker: Worker) -> None:
    ids = push(engine, "a", "b")
    worker.claim(2)
    assert engine.recover("w1", died(finished=2)) == Recovered(done=tuple(ids))
    assert count_of(engine) == QueueCounts("q")
    assert total(engine, "done") == 2


def test_finished_ones_that_were_settled_are_not_counted_again(
    engine: Engine, worker: Worker
) -> None:
    _, b, c = push(engine, "a", "b", "c")
    claims = worker.claim(3)
    engine.settle("w1", [Settlement(claims[0], ACK)])
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


def test_claims_of_the_request_before_are_done(engine: Engine, worker: Worker) -> None:
    """Its last jobs are settled by the step that is sent while the next ones run."""
    a, b, c, d, e, f, g, h = push(engine, *"abcdefgh")
    for _ in range(4):
        worker.claim(2)
    recovered = engine.recover("w1", died(request=3, finished=1, started=1, before=2))
    assert recovered == Recovered(done=(c, d, e), crashed=(f,), returned=(a, b, g, h))


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


def test_an_unknown_death_adds_a_line_to_the_history(engine: Engine, worker: Worker) -> None:
    push(engine, "a")
    worker.end(worker.claim()[0], Release(0, State(1, 0, 0, OLD)))
    worker.claim()
    engine.recover("w1", None)
    ((_, state),) = next_claims(engine)
    assert [known.cause for known in entries(state.history)] == ["error", "crash"]
    assert state.history.startswith(OLD + b"\n")


@pytest.mark.parametrize("known", [True, False])
def test_a_history_does_not_grow_without_end(engine: Engine, worker: Worker, known: bool) -> None:
    """A crash keeps as many lines as any other entry (`message.with_entry`)."""
    lines = [b'{"at":%d,"cause":"error"}' % n for n in range(MAX_HISTORY)]
    push(engine, "a")
    worker.end(worker.claim()[0], Release(0, State(1, 0, 0, b"\n".join(lines))))
    worker.claim()
    engine.recover("w1", died(request=worker.request, started=0) if known else None)
    ((_, state),) = next_claims(engine)
    after = state.history.split(b"\n")
    assert after[:-1] == [lines[0], *lines[2:]]
    assert entries(after[-1])[0].cause == "crash"


def test_a_crash_of_a_failing_job_is_counted_apart(engine: Engine, worker: Worker) -> None:
    push(engine, "a")
    (claim,) = worker.claim()
    worker.end(claim, Failing(State(1, 0, 1, OLD)))
    engine.recover("w1", died(started=0))
    ((_, state),) = next_claims(engine)
    assert (state.attempt, state.crashes, state.failing) == (1, 0, 2)
    engine.recover("heir", None)
    ((_, state),) = next_claims(engine)
    assert (state.attempt, state.crashes, state.failing) == (1, 0, 3)


def test_a_failing_job_given_back_is_still_failing(engine: Engine, worker: Worker) -> None:
    push(engine, "a")
    (claim,) = worker.claim()
    worker.end(claim, Failing(State(1, 0, 1)))
    engine.recover("w1", died())
    assert next_claims(engine) == [("a", State(1, 0, 1))]


def timed_out(request: int = 1, delay: int = 0) -> DeathReport:
    return DeathReport(request, 0, 0, line("timeout"), end="timeout", delay=delay)


def test_a_timeout_counts_an_attempt_and_no_crash(engine: Engine, worker: Worker) -> None:
    a, b = push(engine, "a", "b")
    worker.claim(2)
    assert engine.recover("w1", timed_out()) == Recovered(returned=(b,), timed_out=(a,))
    assert (total(engine, "retried"), total(engine, "crashed")) == (1, 0)
    late = State(attempt=1, history=line("timeout"))
    assert next_claims(engine) == [("a", late), ("b", State())]


def test_a_timeout_is_added_to_what_was_before(engine: Engine, worker: Worker) -> None:
    push(engine, "a")
    worker.end(worker.claim()[0], Release(0, State(2, 1, 0, OLD)))
    worker.claim()
    engine.recover("w1", timed_out(request=3))
    assert next_claims(engine) == [("a", State(3, 1, 0, OLD + b"\n" + line("timeout")))]


def test_a_timeout_of_a_failing_job_is_a_death_in_its_hook(engine: Engine, worker: Worker) -> None:
    (pushed,) = push(engine, "a")
    (claim,) = worker.claim()
    worker.end(claim, Failing(State(1, 0, 1, OLD)))
    assert engine.recover("w1", timed_out(delay=HOUR)) == Recovered(crashed=(pushed,))
    assert (total(engine, "retried"), total(engine, "crashed")) == (0, 1)
    assert next_claims(engine) == [("a", State(1, 0, 2, OLD + b"\n" + line("timeout")))]


def test_a_job_that_timed_out_waits_for_its_delay(engine: Engine, worker: Worker) -> None:
    a, b = push(engine, "a", "b")
    worker.claim(2)
    before = engine.now()
    recovered = engine.recover("w1", timed_out(delay=HOUR))
    assert recovered == Recovered(returned=(b,), timed_out=(a,))
    late = stored(engine, a)
    assert (late.status, late.state) == ("delayed", State(1, history=line("timeout")))
    assert before + HOUR <= late.at <= engine.now() + HOUR
    assert count_of(engine) == QueueCounts("q", ready=1, delayed=1)
    assert next_claims(engine) == [("b", State())]


def test_a_job_that_timed_out_is_claimed_after_its_delay(engine: Engine, worker: Worker) -> None:
    push(engine, "a")
    worker.claim()
    engine.recover("w1", timed_out(delay=30 * MS))
    claim = Worker(engine, "heir", "n2").claim_soon()
    assert (claim.body, claim.state.attempt) == (b"a", 1)


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
    push(engine, "a")
    (claim,) = worker.claim()
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


@pytest.mark.parametrize("before", [State(2, 1, 0, OLD), State(2, 1, 3, OLD)])
def test_a_job_that_is_given_back_keeps_its_counts(
    engine: Engine, worker: Worker, before: State
) -> None:
    push(engine, "a")
    (claim,) = worker.claim()
    if before.failing:
        worker.end(claim, Failing(before))
    else:
        worker.end(claim, Release(0, before))
        worker.claim()
    report = ended_by_a_person("returned", 1 if before.failing else 3)._replace(started=0)
    assert engine.recover("w1", report).returned == (claim.id,)
    after = before._replace(history=OLD + b"\n" + line("returned"))
    assert next_claims(engine) == [("a", after)]


def test_a_job_that_is_given_back_asks_its_limit_again(engine: Engine, worker: Worker) -> None:
    """Its start has used the slot that it was granted."""
    (pushed,) = park(worker, "a", rules=[full(engine, window=30 * MS)])
    until(worker.claim, 5, "the slot")
    report = ended_by_a_person("returned", worker.request)._replace(started=0)
    assert engine.recover("w1", report).returned == (pushed,)
    (claim,) = Worker(engine, "w2").claim()
    assert (claim.id, claim.admitted) == (pushed, False)


@pytest.mark.parametrize("end", ["cancelled", "returned"])
def test_what_a_person_has_ended_is_done_if_it_was_finished(
    engine: Engine, worker: Worker, end: DeathEnd
) -> None:
    a, b = push(engine, "a", "b")
    worker.claim(2)
    report = ended_by_a_person(end)._replace(finished=2)
    assert engine.recover("w1", report) == Recovered(done=(a, b))
    assert (total(engine, "done"), total(engine, "cancelled")) == (2, 0)


def test_a_second_recovery_finds_nothing(engine: Engine, worker: Worker) -> None:
    push(engine, "a")
    worker.claim()
    engine.recover("w1", None)
    assert engine.recover("w1", None) == Recovered()
    assert engine.recover("w1", died(finished=1)) == Recovered()
    assert count_of(engine) == QueueCounts("q", ready=1)
    assert (total(engine, "crashed"), total(engine, "done")) == (1, 0)


def test_an_unknown_worker_is_not_recovered(engine: Engine) -> None:
    assert engine.recover("ghost", None) == Recovered()


def test_a_worker_without_claims_is_only_forgotten(engine: Engine, worker: Worker) -> None:
    push(engine, "a")
    worker.end(worker.claim()[0])
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
    push(engine, "a")
    worker.claim()
    push(engine, "b")
    engine.recover("w1", None)
    push(engine, "c")
    assert [name for name, _ in next_claims(engine)] == ["a", "b", "c"]


def test_a_job_of_a_paused_queue_goes_back_and_waits(engine: Engine, worker: Worker) -> None:
    push(engine, "a")
    worker.claim()
    engine.pause("q")
    engine.recover("w1", died())
    assert count_of(engine) == QueueCounts("q", ready=1, paused=True)
    assert next_claims(engine) == []


def test_a_slot_that_was_granted_is_not_passed_on(engine: Engine, worker: Worker) -> None:
    """The job may start again in a later window, whose slots belong to others: it must ask
    again."""
    (pushed,) = park(worker, "a", rules=[full(engine, window=30 * MS)])
    until(worker.claim, 5, "the slot")
    engine.recover("w1", died(request=worker.request, started=0))
    assert stored(engine, pushed).status == "ready"
    (claim,) = Worker(engine, "w2").claim()
    assert (claim.id, claim.admitted) == (pushed, False)


def test_parked_jobs_stay_parked(engine: Engine, worker: Worker) -> None:
    push(engine, "a", "b")
    first, _ = worker.claim(2)
    worker.end(first, Park((full(engine),), 0))
    assert engine.recover("w1", None).crashed != (first.id,)
    assert count_of(engine) == QueueCounts("q", ready=1, parked=1)


def test_a_delayed_job_stays_delayed(engine: Engine, worker: Worker) -> None:
    (pushed,) = push(engine, "a")
    worker.end(worker.claim()[0], Release(HOUR, State(1)))
    assert engine.recover("w1", None) == Recovered()
    assert stored(engine, pushed).status == "delayed"


def test_hundreds_of_claims_are_recovered_at_once(engine: Engine, worker: Worker) -> None:
    ids = push(engine, *map(str, range(600)))
    worker.claim(600)
    recovered = engine.recover("w1", died(finished=100, started=100))
    assert recovered == Recovered(tuple(ids[:100]), (ids[100],), tuple(ids[101:]))
    assert named(Worker(engine, "w2").claim(600)) == [str(n) for n in range(100, 600)]


def test_a_rule_is_not_given_back_by_a_death(engine: Engine, worker: Worker) -> None:
    rule = Rule("k", 1, 10 * SECOND)
    push(engine, "a")
    worker.claim()
    engine.admit([rule])
    engine.recover("w1", None)
    assert engine.admit([rule]).wait > 0
