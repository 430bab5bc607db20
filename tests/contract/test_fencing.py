"""A settlement counts only while exactly its claim is held, by a registered worker."""

from __future__ import annotations

import pytest

from poolq.engines.base import Engine, QueueCounts, Settlement
from poolq.errors import Fenced
from poolq.jobs.limits import Rule
from poolq.jobs.message import State
from poolq.jobs.outcomes import ACK, GIVE_BACK, Bury, Failing, Outcome, Park, Release
from tests.contract.helpers import HOUR, SECOND, Worker, count_of, kind, push, stored, total

OUTCOMES: list[Outcome] = [
    ACK,
    Release(0, State(9)),
    Release(HOUR, State(9)),
    GIVE_BACK,
    Park((Rule("k", 1, SECOND),), 0),
    Failing(State(9, failing=1)),
    Bury(State(9)),
]


def test_a_worker_that_was_never_registered_is_fenced(engine: Engine) -> None:
    push(engine, "a")
    with pytest.raises(Fenced):
        engine.step("ghost", 1, [], 1, ["q"])
    assert count_of(engine) == QueueCounts("q", ready=1)


def test_a_recovered_worker_is_fenced_and_changes_nothing(engine: Engine, worker: Worker) -> None:
    push(engine, "a", "b")
    (claim,) = worker.claim()
    engine.recover("w1", None)
    done = Settlement(claim, ACK)
    with pytest.raises(Fenced, match="w1"):
        worker.again(want=1)
    with pytest.raises(Fenced, match="w1"):
        worker.step(done, want=1)
    assert count_of(engine) == QueueCounts("q", ready=2)
    assert total(engine, "done") == 0


@pytest.mark.parametrize("outcome", OUTCOMES, ids=kind)
def test_a_claim_that_now_belongs_to_another_cannot_be_settled(
    engine: Engine, worker: Worker, outcome: Outcome
) -> None:
    old = worker.take("a")
    engine.recover("w1", None)
    heir = Worker(engine, "w2", "n2")
    (new,) = heir.claim()
    again = Worker(engine)
    before = stored(engine, old.id)
    assert again.step(Settlement(old, outcome)).stale == [old.id]
    assert stored(engine, old.id) == before
    assert count_of(engine) == QueueCounts("q", running=1)
    assert sum(engine.totals()["q"].values()) == 1  # the crash
    heir.end(new)


def test_the_same_numbers_of_another_worker_name_another_claim(
    engine: Engine, worker: Worker
) -> None:
    ids = push(engine, "a", "b")
    (mine,) = worker.claim()
    thief = Worker(engine, "w2")
    (theirs,) = thief.claim()
    assert (mine.request, mine.index) == (theirs.request, theirs.index)
    assert thief.step(Settlement(mine, ACK)).stale == [ids[0]]
    assert [stored(engine, one).worker for one in ids] == ["w1", "w2"]
    worker.end(mine)
    thief.end(theirs)


@pytest.mark.parametrize("outcome", OUTCOMES, ids=kind)
def test_a_claim_of_the_same_job_by_the_same_worker_is_another_claim(
    engine: Engine, worker: Worker, outcome: Outcome
) -> None:
    old = worker.take("a")
    worker.end(old, GIVE_BACK)
    (new,) = worker.claim()
    before = stored(engine, old.id)
    assert (old.id, new.id) == (old.id, old.id)
    assert worker.step(Settlement(old, outcome)).stale == [old.id]
    assert stored(engine, old.id) == before
    worker.end(new)


def test_a_job_given_back_and_claimed_in_one_step_is_another_claim(
    engine: Engine, worker: Worker
) -> None:
    old = worker.take("a")
    (new,) = worker.step(Settlement(old, GIVE_BACK), want=1).claims
    assert worker.step(Settlement(old, ACK)).stale == [old.id]
    worker.end(new)


@pytest.mark.parametrize("first", OUTCOMES[:5] + OUTCOMES[6:], ids=kind)
@pytest.mark.parametrize("second", [ACK, GIVE_BACK, Bury(State(7))], ids=kind)
def test_a_claim_is_settled_once(
    engine: Engine, worker: Worker, first: Outcome, second: Outcome
) -> None:
    claim = worker.take("a")
    worker.end(claim, first)
    before = engine.find(claim.id), count_of(engine), engine.totals()
    assert worker.step(Settlement(claim, second)).stale == [claim.id]
    assert (engine.find(claim.id), count_of(engine), engine.totals()) == before


def test_a_claim_is_settled_once_in_one_step_too(engine: Engine, worker: Worker) -> None:
    claim = worker.take("a")
    twice = [Settlement(claim, ACK), Settlement(claim, Release(0, State(1)))]
    assert worker.step(*twice).stale == [claim.id]
    assert engine.find(claim.id) is None
    assert total(engine, "done") == 1


def test_stale_settlements_stop_no_others(engine: Engine, worker: Worker) -> None:
    ids = push(engine, "a", "b", "c")
    claims = worker.claim(3)
    worker.end(claims[0])
    worker.end(claims[2])
    step = worker.step(*(Settlement(claim, ACK) for claim in claims))
    assert step.stale == [ids[0], ids[2]]
    assert total(engine, "done") == 3


def test_a_claim_that_nobody_made_is_stale(engine: Engine, worker: Worker) -> None:
    claim = worker.take("a")
    for forged in (claim._replace(index=1), claim._replace(request=7), claim._replace(id="f" * 32)):
        assert worker.step(Settlement(forged, ACK)).stale == [forged.id]
    worker.end(claim)
