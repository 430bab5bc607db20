"""Running jobs that somebody cancels: their claims end as done, as failed or as cancelled."""

from __future__ import annotations

import pytest

from poolq.engines.base import CancelRequest, Engine, QueueCounts, Recovered, Settlement
from poolq.engines.redis.engine import RedisEngine
from poolq.jobs.limits import Rule
from poolq.jobs.message import State
from poolq.jobs.outcomes import ACK, GIVE_BACK, Bury, Failing, Outcome, Park, Release, ReleaseUntil
from tests.contract.helpers import (
    HOUR,
    MS,
    SECOND,
    Worker,
    bury,
    count_of,
    died,
    full,
    kind,
    park,
    push,
    stored,
    total,
    wait_for,
)
from tests.support.wait import until

RULE = Rule("k", 1, HOUR)
OTHERS: list[Outcome] = [
    Release(0, State(1), "retried"), Release(HOUR, State(1), "retried"), GIVE_BACK,
    Park((RULE,), 0), ReleaseUntil(2**52, State(1), RULE),
]  # fmt: skip


def without_due(engine: Engine, node: str = "n1") -> list[tuple[str, str, int, int]]:
    return sorted(one[:4] for one in engine.cancel_requests(node))


def test_a_request_names_the_claim_and_when_its_worker_is_to_be_killed(
    engine: Engine, worker: Worker
) -> None:
    a, b, c, d = push(engine, "a", "b", "c", "d")
    worker.claim(2)
    Worker(engine, "w2", "n2").claim()
    assert engine.cancel_requests("n1") == []
    assert engine.request_cancel([c, b, "unknown", d, c], HOUR) == [c, b]
    (one,) = engine.cancel_requests("n1")
    assert one[:4] == (b, "w1", 1, 1)
    assert HOUR - 10 * SECOND < one.due <= HOUR
    assert without_due(engine, "n2") == [(c, "w2", 1, 0)]
    assert engine.cancel_requests("n3") == []
    assert [stored(engine, id).status for id in (a, b, c, d)] == ["running"] * 3 + ["ready"]
    assert stored(engine, b).worker == "w1"
    assert count_of(engine) == QueueCounts("q", ready=1, running=3)
    assert isinstance(one, CancelRequest)


def test_a_second_request_can_only_shorten_the_grace(engine: Engine, worker: Worker) -> None:
    (pushed,) = push(engine, "a")
    worker.claim()
    for grace, most in ((HOUR, HOUR), (2 * HOUR, HOUR), (0, 0)):
        assert engine.request_cancel([pushed], grace) == [pushed]
        (one,) = engine.cancel_requests("n1")
        assert most - 20 * SECOND < one.due <= most


def test_only_running_jobs_can_be_requested(engine: Engine, worker: Worker) -> None:
    failed = bury(worker)
    (parked,) = park(worker, "p", rules=[full(engine)])
    ready, delayed = push(engine, "r", queue="x"), push(engine, "d", delay=HOUR)
    assert engine.request_cancel([failed, parked, *ready, *delayed], 0) == []
    assert engine.request_cancel([], 0) == []
    assert engine.cancel_requests("n1") == []


@pytest.mark.parametrize("outcome", OTHERS, ids=kind)
def test_any_other_end_than_done_or_failed_cancels_the_job(
    engine: Engine, worker: Worker, outcome: Outcome
) -> None:
    """Its settlement is refused like that of a job that was given to another worker."""
    a, b = push(engine, "a", "b")
    one, other = worker.claim(2)
    assert engine.request_cancel([a], HOUR) == [a]
    step = worker.step(Settlement(one, outcome), Settlement(other, ACK))
    assert step.stale == [a]
    assert worker.again(Settlement(one, outcome), Settlement(other, ACK)).stale == [a]
    assert engine.find(a) is engine.find(b) is None
    assert count_of(engine) == QueueCounts("q")
    counted = {name: count for name, count in engine.totals()["q"].items() if count}
    assert counted == {"cancelled": 1, "done": 1}
    assert engine.cancel_requests("n1") == []


def test_a_job_that_ends_in_time_is_done(engine: Engine, worker: Worker) -> None:
    a, _ = push(engine, "a", "b")
    claims = worker.claim(2)
    engine.request_cancel([a], HOUR)
    assert worker.step(*(Settlement(one, ACK) for one in claims)).stale == []
    assert engine.find(a) is None
    assert (total(engine, "done"), total(engine, "cancelled")) == (2, 0)
    assert engine.cancel_requests("n1") == []


def test_a_job_that_fails_in_time_is_kept(engine: Engine, worker: Worker) -> None:
    """Its `on_failure()` runs between the two settlements, and may still be killed."""
    claim = worker.take("a")
    engine.request_cancel([claim.id], HOUR)
    worker.end(claim, Failing(State(1, 0, 1)))
    assert stored(engine, claim.id).state == State(1, 0, 1)
    assert without_due(engine) == [(claim.id, "w1", 1, 0)]
    (one,) = engine.cancel_requests("n1")
    assert one.due > HOUR - 20 * SECOND
    worker.end(claim, Bury(State(1, 0, 1)))
    assert [one.id for one in engine.failed()] == [claim.id]
    assert (total(engine, "failed"), total(engine, "cancelled")) == (1, 0)
    assert engine.cancel_requests("n1") == []
    assert engine.retry([claim.id]) == [claim.id]
    worker.claim()
    assert engine.cancel_requests("n1") == [], "the request was for the earlier claim"


@pytest.mark.parametrize("known", [True, False])
def test_a_cancelled_job_does_not_survive_its_worker(
    engine: Engine, worker: Worker, known: bool
) -> None:
    a, b, c = push(engine, "a", "b", "c")
    worker.claim(3)
    engine.request_cancel([a, c], HOUR)
    recovered = engine.recover("w1", died(started=0) if known else None)
    assert recovered == Recovered(returned=(b,), cancelled=(a, c))
    assert count_of(engine) == QueueCounts("q", ready=1)
    assert (total(engine, "cancelled"), total(engine, "crashed")) == (2, 0)
    assert engine.cancel_requests("n1") == []


def test_a_cancelled_job_does_not_survive_its_node(engine: Engine, worker: Worker) -> None:
    (pushed,) = push(engine, "a")
    worker.claim()
    (counter,) = engine.beat("n1", b"{}").values()
    engine.request_cancel([pushed], HOUR)
    assert engine.reap("n1", counter) == Recovered(cancelled=(pushed,))
    assert total(engine, "cancelled") == 1


def test_what_was_finished_is_done_although_it_is_cancelled(engine: Engine, worker: Worker) -> None:
    a, b = push(engine, "a", "b")
    worker.claim(2)
    engine.request_cancel([a, b], 0)
    assert engine.recover("w1", died(finished=1)) == Recovered(done=(a,), cancelled=(b,))


def test_a_repeated_step_returns_cancelled_claims_too(engine: Engine, worker: Worker) -> None:
    """The answer to the first one was lost, and the worker has to end these claims."""
    (parked,) = park(worker, "p", rules=[full(engine, window=30 * MS)])
    a, b = push(engine, "a", "b", queue="x")
    wait_for(engine, engine.now() + 30 * MS)
    claims = worker.claim(9, ["q", "x"])
    assert [one.id for one in claims if one.admitted] == [parked]
    some = [one.id for one in claims][::2]
    for _ in range(2):
        assert engine.request_cancel(some, HOUR) == some
        assert worker.again(want=9, queues=["q", "x"]).claims == claims
    assert {a, b, parked} >= set(some)
    assert worker.step(*(Settlement(one, ACK) for one in claims)).stale == []


def test_a_cancelled_job_does_not_start_under_its_limit(engine: Engine, worker: Worker) -> None:
    """Nor does it use up a start."""
    a, b = push(engine, "a", "b")
    one, other = worker.claim(2)
    engine.request_cancel([a], HOUR)
    assert engine.admit([RULE], ("w1", one)).stale
    assert engine.admit([RULE], ("w1", one._replace(asks=1))).stale
    assert not engine.admit([RULE], ("w1", other)).wait
    assert worker.step(Settlement(one, GIVE_BACK), Settlement(other, ACK)).stale == [a]
    assert engine.find(b) is None


def test_a_job_from_a_line_can_be_cancelled(engine: Engine, worker: Worker) -> None:
    (pushed,) = park(worker, "a", rules=[full(engine, window=30 * MS)])
    claim = until(worker.claim, 5, "the slot")[0]
    assert engine.request_cancel([pushed], 0) == [pushed]
    assert worker.step(Settlement(claim, GIVE_BACK)).stale == [pushed]
    assert count_of(engine) == QueueCounts("q")


@pytest.mark.parametrize("engine_url", ["redis"], indirect=True)
def test_no_script_looks_for_more_than_fifty_jobs(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It asks each worker for all of them, and holds up all other clients meanwhile."""
    assert isinstance(engine, RedisEngine)
    ids = push(engine, *map(str, range(120)))
    workers = [Worker(engine, name) for name in ("w1", "w2")]
    claimed = [claim.id for worker in workers for claim in worker.claim(40)]
    sizes: list[int] = []
    run = engine.client.run

    def counted(name: str, grace: int, *asked: str) -> object:
        sizes.append(len(asked))
        return run(name, grace, *asked)

    monkeypatch.setattr(engine.client, "run", counted)
    assert engine.request_cancel(ids, 0) == claimed
    assert sizes == [50, 50, 20]
