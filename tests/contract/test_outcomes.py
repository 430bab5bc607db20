"""What each outcome does to a claimed job, and what is counted."""

from __future__ import annotations

from poolq.engines.base import Engine, QueueCounts, Settlement
from poolq.jobs.message import State
from poolq.jobs.outcomes import ACK, DISCARD, GIVE_BACK, Bury, Failing, Outcome, Park, Release
from tests.contract.helpers import HOUR, Worker, count_of, full, named, push, stored, total

TRIED = State(attempt=1, history=b'{"at":1,"cause":"error"}')


def test_a_claimed_job_is_running(engine: Engine, worker: Worker) -> None:
    (pushed,) = push(engine, "a")
    before = engine.now()
    worker.claim()
    found = stored(engine, pushed)
    assert (found.status, found.queue, found.worker, found.body) == ("running", "q", "w1", b"a")
    assert before <= found.at <= engine.now()
    assert count_of(engine) == QueueCounts("q", running=1)


def test_ack_counts_the_job_as_done_and_deletes_it(engine: Engine, worker: Worker) -> None:
    (pushed,) = push(engine, "a")
    worker.end(worker.claim()[0], ACK)
    assert engine.find(pushed) is None
    assert count_of(engine) == QueueCounts("q")
    others = (
        "failed", "retried", "limited", "parked", "crashed", "cancelled", "discarded", "snoozed",
        "skipped", "replaced", "expired",
    )  # fmt: skip
    assert engine.totals()["q"] == {"done": 1, **dict.fromkeys(others, 0)}


def test_discard_deletes_the_job_and_counts_it_as_discarded(engine: Engine, worker: Worker) -> None:
    first, second = push(engine, "a", "b")
    worker.end(worker.claim()[0], Release(0, TRIED))
    claims = worker.claim(2)
    worker.step(*(Settlement(claim, DISCARD) for claim in claims))
    assert engine.find(first) is engine.find(second) is None
    assert count_of(engine) == QueueCounts("q")
    assert (total(engine, "discarded"), total(engine, "done"), total(engine, "failed")) == (2, 0, 0)
    assert worker.step(Settlement(claims[0], DISCARD)).stale == [claims[0].id]
    assert total(engine, "discarded") == 2


def test_release_at_once_goes_to_the_tail_with_its_new_state(
    engine: Engine, worker: Worker
) -> None:
    push(engine, "a", "b")
    worker.end(worker.claim()[0], Release(0, TRIED))
    assert count_of(engine) == QueueCounts("q", ready=2)
    claims = worker.claim(2)
    assert named(claims) == ["b", "a"]
    assert claims[1].state == TRIED


def test_release_for_later_is_delayed(engine: Engine, worker: Worker) -> None:
    (pushed,) = push(engine, "a")
    before = engine.now()
    worker.end(worker.claim()[0], Release(HOUR, TRIED))
    found = stored(engine, pushed)
    assert (found.status, found.state, found.worker) == ("delayed", TRIED, "")
    assert before + HOUR <= found.at <= engine.now() + HOUR
    assert count_of(engine) == QueueCounts("q", delayed=1)
    assert worker.claim() == []


def test_a_release_is_counted_as_it_says(engine: Engine, worker: Worker) -> None:
    push(engine, "a", "b", "c", "d")
    for counter, claim in zip(["retried", "limited", "", "limited"], worker.claim(4), strict=True):
        worker.end(claim, Release(0, TRIED, counter))
    assert (total(engine, "retried"), total(engine, "limited")) == (1, 2)
    assert sum(engine.totals()["q"].values()) == 3


def test_give_back_goes_to_the_head_and_keeps_its_due_time_and_state(
    engine: Engine, worker: Worker
) -> None:
    ids = push(engine, "a", "b", "c")
    due = stored(engine, ids[0]).at
    claims = worker.claim(2)
    push(engine, "d")
    step = worker.step(*(Settlement(claim, GIVE_BACK) for claim in claims))
    assert step.stale == []
    found = stored(engine, ids[0])
    assert (found.status, found.at, found.state, found.worker) == ("ready", due, State(), "")
    assert named(worker.claim(9)) == ["a", "b", "c", "d"]
    assert sum(engine.totals().get("q", {}).values()) == 0


def test_park_waits_off_the_queue_and_keeps_its_state(engine: Engine, worker: Worker) -> None:
    (pushed,) = push(engine, "a")
    worker.end(worker.claim()[0], Release(0, TRIED))
    worker.end(worker.claim()[0], Park((full(engine),), 0))
    found = stored(engine, pushed)
    assert (found.status, found.state, found.body, found.worker) == ("parked", TRIED, b"a", "")
    assert count_of(engine) == QueueCounts("q", parked=1)
    assert (total(engine, "parked"), total(engine, "retried")) == (1, 1)
    assert worker.claim() == []


def test_failing_keeps_the_claim_until_it_is_buried(engine: Engine, worker: Worker) -> None:
    claim = worker.take("a")
    worker.end(claim, Failing(TRIED._replace(failing=1)))
    found = stored(engine, claim.id)
    assert (found.status, found.worker) == ("running", "w1")
    assert found.state == TRIED._replace(failing=1)
    assert count_of(engine) == QueueCounts("q", running=1)
    assert (total(engine, "failed"), worker.claim()) == (0, [])
    worker.end(claim, Bury(TRIED))
    assert stored(engine, claim.id).status == "failed"
    assert total(engine, "failed") == 1


def test_bury_keeps_the_job_with_its_history(engine: Engine, worker: Worker) -> None:
    claim = worker.take("a")
    before = engine.now()
    worker.end(claim, Bury(TRIED))
    found = stored(engine, claim.id)
    assert (found.status, found.queue, found.body, found.state, found.worker) == (
        "failed",
        "q",
        b"a",
        TRIED,
        "",
    )
    assert before <= found.at <= engine.now()
    assert count_of(engine) == QueueCounts("q", failed=1)
    assert worker.claim() == []


def test_a_step_that_wants_nothing_only_settles(engine: Engine, worker: Worker) -> None:
    push(engine, "a", "b")
    (claim,) = worker.claim()
    step = worker.step(Settlement(claim, ACK), want=0)
    assert (step.claims, step.stale) == ([], [])
    assert count_of(engine) == QueueCounts("q", ready=1)


def test_a_step_settles_many_and_then_claims(engine: Engine, worker: Worker) -> None:
    """A job that it has just released may be claimed in the same step, because it is due."""
    push(engine, "a", "b", "c", "d", "e")
    outcomes: list[Outcome] = [ACK, Release(0, TRIED), GIVE_BACK, Bury(TRIED)]
    pairs = zip(worker.claim(4), outcomes, strict=True)
    step = worker.step(*(Settlement(claim, outcome) for claim, outcome in pairs), want=9)
    assert named(step.claims) == ["c", "e", "b"]
    assert count_of(engine) == QueueCounts("q", running=3, failed=1)
    assert (total(engine, "done"), total(engine, "failed")) == (1, 1)


def test_thousands_are_settled_in_one_step(engine: Engine, worker: Worker) -> None:
    push(engine, *map(str, range(2400)))
    claims = [claim for _ in range(3) for claim in worker.claim(800)]
    outcomes: list[Outcome] = [ACK, Release(0, TRIED), GIVE_BACK]
    step = worker.step(*(Settlement(one, outcomes[n % 3]) for n, one in enumerate(claims)))
    assert step.stale == []
    assert count_of(engine) == QueueCounts("q", ready=1600)
    assert (total(engine, "done"), total(engine, "retried")) == (800, 800)


def test_settle_does_what_a_step_does(engine: Engine, worker: Worker) -> None:
    ids = push(engine, "a", "b", "c", "d", "e", "f")
    parking = Park((full(engine),), 0)
    outcomes: list[Outcome] = [
        ACK,
        Release(HOUR, TRIED),
        GIVE_BACK,
        Bury(TRIED),
        Failing(TRIED),
        parking,
    ]
    pairs = zip(worker.claim(6), outcomes, strict=True)
    settlements = [Settlement(claim, outcome) for claim, outcome in pairs]
    assert worker.step(*settlements).stale == []
    assert worker.step().stale == []
    assert count_of(engine) == QueueCounts("q", 1, 1, 1, 1, 1)
    assert engine.find(ids[0]) is None
    assert named(worker.claim()) == ["c"]


def test_counts_tell_the_age_of_the_oldest_ready_job(engine: Engine, worker: Worker) -> None:
    began = engine.now()
    push(engine, "a", "b")
    pushed = engine.now()
    before = engine.now()
    (counts,) = engine.counts()
    after = engine.now()
    assert before - pushed <= counts.oldest <= after - began
    worker.drain()
    (counts,) = engine.counts()
    assert (counts.oldest, counts.ready) == (0, 0)
