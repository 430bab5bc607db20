"""The limits of parked jobs are asked again, by workers that have the newest code."""

from __future__ import annotations

import pytest

from poolq.engines.base import Claim, Engine
from poolq.errors import Fenced
from poolq.jobs.limits import Rule
from poolq.jobs.retry import ACK, GIVE_BACK, Park
from tests.contract.helpers import (
    HOUR,
    MS,
    Worker,
    every_engine,
    full,
    named,
    park,
    push,
    stored,
    wait_for,
)
from tests.support.wait import until

pytestmark = every_engine


def reviewed(worker: Worker) -> Claim:
    """The next claim, which must be one that is reviewed."""
    (claim,) = worker.claim()
    assert (claim.reviewed, claim.admitted) == (True, False)
    return claim


def test_nobody_is_asked_without_a_review(engine: Engine, worker: Worker) -> None:
    park(worker, "a", rules=[full(engine)])
    assert worker.claim() == []


def test_a_raised_limit_drains_the_line(engine: Engine, worker: Worker) -> None:
    park(worker, "a", "b", "c", rules=[full(engine)])
    new = Worker(engine, "w2", "n2")
    engine.review("w2", ["q"])
    claim = reviewed(new)
    assert claim.body == b"a"
    assert engine.admit([Rule("mail", 3, HOUR)], ("w2", claim)).wait == 0
    (second,) = new.claim()
    assert (second.body, second.admitted, second.reviewed) == (b"b", True, False)
    assert new.claim() == []
    assert [(use.rule.limit, use.window.used, use.parked) for use in engine.limits()] == [(3, 3, 1)]


def test_a_lowered_limit_slows_the_line(engine: Engine, worker: Worker) -> None:
    park(worker, "a", "b", "c", rules=[Rule("k", 9, HOUR)])
    engine.review("w1", ["q"])
    claim = reviewed(worker)
    low = Rule("k", 1, HOUR)
    assert engine.admit([low], ("w1", claim)).wait == 0
    assert worker.claim() == []
    assert [(use.rule, use.parked) for use in engine.limits()] == [(low, 2)]


def test_a_job_that_parks_again_was_asked(engine: Engine, worker: Worker) -> None:
    rule = full(engine)
    park(worker, "a", "b", rules=[rule])
    engine.review("w1", ["q"])
    claim = reviewed(worker)
    worker.end(claim, Park((rule,), 0))
    assert worker.claim() == []
    assert [(use.rule, use.parked) for use in engine.limits()] == [(rule, 2)]


def test_a_refused_job_was_asked_too(engine: Engine, worker: Worker) -> None:
    rule = full(engine)
    park(worker, "a", "b", rules=[rule])
    engine.review("w1", ["q"])
    claim = reviewed(worker)
    assert engine.admit([rule], ("w1", claim)).wait > 0
    assert worker.claim() == []
    worker.end(claim, Park((rule,), 0))
    wait_for(engine, engine.now() + 10 * MS)
    assert worker.claim() == []


def test_a_removed_limit_empties_the_line(engine: Engine, worker: Worker) -> None:
    """None of the jobs asks for a start under it, so each is claimed for a review."""
    park(worker, "a", "b", "c", rules=[full(engine)])
    engine.review("w1", ["q"])
    names = []
    for _ in range(3):
        claim = reviewed(worker)
        names.append(claim.body.decode())
        worker.end(claim, ACK)
    assert names == ["a", "b", "c"]
    assert worker.claim() == []


def test_a_job_whose_key_has_changed_leaves_the_next_to_be_asked(
    engine: Engine, worker: Worker
) -> None:
    park(worker, "a", "b", rules=[full(engine)])
    engine.review("w1", ["q"])
    for name in (b"a", b"b"):
        claim = reviewed(worker)
        assert claim.body == name
        assert engine.admit([Rule("new", 9, HOUR)], ("w1", claim)).wait == 0
    assert worker.claim() == []


def test_after_any_other_end_the_next_head_is_asked(engine: Engine, worker: Worker) -> None:
    (first, _) = park(worker, "a", "b", rules=[full(engine)])
    engine.review("w1", ["q"])
    worker.end(reviewed(worker), GIVE_BACK)
    assert stored(engine, first).status == "ready"
    claims = [*worker.claim(9), *worker.claim(9)]
    assert sorted(named(claims)) == ["a", "b"]
    assert {claim.body: claim.reviewed for claim in claims} == {b"a": False, b"b": True}


def test_only_workers_registered_no_earlier_are_asked(engine: Engine, worker: Worker) -> None:
    """An older worker grants as before, by the old limit."""
    old = worker
    short = full(engine, "short", 50 * MS)
    park(old, "a", rules=[full(engine)])
    park(old, "b", "c", rules=[short])
    new = Worker(engine, "w2", "n2")
    engine.review("w2", None)
    granted = until(old.claim, 5, "the slot")
    assert [(one.body, one.admitted, one.reviewed) for one in granted] == [(b"b", True, False)]
    names = {reviewed(new).body, reviewed(new).body}
    assert names == {b"a", b"c"}


def test_a_later_reload_marks_them_again(engine: Engine, worker: Worker) -> None:
    rule = full(engine)
    park(worker, "a", "b", rules=[rule])
    engine.review("w1", ["q"])
    claim = reviewed(worker)
    new = Worker(engine, "w2", "n2")
    engine.review("w2", ["q"])
    engine.review("w1", ["q"])
    engine.admit([rule], ("w1", claim))
    assert worker.claim() == [], "it is too old for the second mark"
    assert named([reviewed(new)]) == ["b"]


def test_only_these_queues_are_marked(engine: Engine, worker: Worker) -> None:
    rule = full(engine)
    park(worker, "a", rules=[rule])
    push(engine, "r", queue="r")
    worker.end(worker.claim(1, ["r"])[0], Park((rule,), 0))
    engine.review("w1", ["r"])
    assert worker.claim() == []
    assert named(worker.claim(9, None)) == ["r"]


def test_a_review_wakes_who_waits(engine: Engine, worker: Worker) -> None:
    park(worker, "a", rules=[full(engine)])
    until(lambda: engine.wait(["q"], 0.03) == 0, 5, "quiet")
    engine.review("w1", ["q"])
    assert engine.wait(["q"], 5) > 0


def test_a_repeated_step_is_to_be_reviewed_again(engine: Engine, worker: Worker) -> None:
    park(worker, "a", rules=[full(engine)])
    engine.review("w1", ["q"])
    claim = reviewed(worker)
    assert worker.again(want=1).claims == [claim]


def test_an_unregistered_worker_is_fenced(engine: Engine, worker: Worker) -> None:
    park(worker, "a", rules=[full(engine)])
    with pytest.raises(Fenced):
        engine.review("ghost", ["q"])
    assert worker.claim() == []


@pytest.mark.parametrize("late", [False, True])
def test_a_review_of_a_paused_queue_continues_when_it_is_resumed(
    engine: Engine, worker: Worker, late: bool
) -> None:
    park(worker, "a", rules=[full(engine)])
    worker.queues = None
    engine.pause("q")
    if not late:
        engine.review("w1", None)
        assert worker.claim() == []
    engine.resume("q")
    engine.pause("q")
    if late:
        engine.review("w1", None)
    assert worker.claim() == []
    engine.resume("q")
    assert [(one.body, one.reviewed) for one in worker.claim()] == [(b"a", True)]
