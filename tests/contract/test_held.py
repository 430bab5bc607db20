"""Jobs that a limit holds back keep their place: released jobs, lines, and granted slots."""

from __future__ import annotations

import pytest

from poolq.engines.base import Engine, Push, QueueCounts, Settlement
from poolq.jobs.limits import Rule
from poolq.jobs.message import State
from poolq.jobs.retry import ACK, GIVE_BACK, Park, ReleaseUntil
from tests.contract.helpers import (
    HOUR,
    MS,
    SECOND,
    Worker,
    count_of,
    died,
    full,
    named,
    new_id,
    park,
    push,
    stored,
    total,
    wait_for,
)
from tests.support.clock import Clock
from tests.support.wait import until

TRIED = State(1, 0, 0, b"a line")
RULE = Rule("mail", 1, HOUR)


def hold(worker: Worker, *names: str, moment: int, rule: Rule = RULE) -> list[str]:
    """Push jobs, then claim and release them, the last one first. Returns their ids."""
    ids = push(worker.engine, *names)
    for claim in reversed(worker.claim(len(names))):
        worker.end(claim, ReleaseUntil(moment, TRIED, rule))
    return ids


def test_an_admission_says_until_when(engine: Engine) -> None:
    before = engine.now()
    assert engine.admit([RULE]).until == 0
    refused = engine.admit([RULE])
    assert before + HOUR <= refused.until <= engine.now() + HOUR
    assert engine.admit([RULE]).until == refused.until


def test_a_released_job_waits_for_its_moment(engine: Engine, worker: Worker) -> None:
    moment = engine.now() + HOUR
    (pushed,) = hold(worker, "a", moment=moment)
    found = stored(engine, pushed)
    assert (found.status, found.at, found.state, found.worker) == ("delayed", moment, TRIED, "")
    assert count_of(engine) == QueueCounts("q", delayed=1)
    assert (total(engine, "limited"), total(engine, "retried")) == (1, 0)
    assert worker.claim() == []
    assert worker.claim(1, None) == []


def test_released_jobs_come_before_all_that_were_dispatched_after_them(
    engine: Engine, worker: Worker
) -> None:
    moment = engine.now() + SECOND  # later than the claim below, also on a busy machine
    hold(worker, "a", "b", "c", moment=moment)
    push(engine, "d", "e")
    assert named(worker.claim()) == ["d"]
    wait_for(engine, moment)
    claims = worker.claim(9)
    assert named(claims) == ["a", "b", "c", "e"]
    assert [claim.state for claim in claims] == [TRIED, TRIED, TRIED, State()]
    assert not any(claim.admitted for claim in claims)


def test_released_jobs_keep_their_place_when_all_queues_are_served(
    engine: Engine, worker: Worker
) -> None:
    moment = engine.now() + 100 * MS
    hold(worker, "a", "b", moment=moment)
    push(engine, "c")
    wait_for(engine, moment)
    assert named(worker.claim(9, None)) == ["a", "b", "c"]


def test_a_released_job_whose_moment_is_past_is_at_the_head(engine: Engine, worker: Worker) -> None:
    pushed, _ = push(engine, "a", "b")
    due = stored(engine, pushed).at
    (claim,) = worker.claim()
    worker.end(claim, ReleaseUntil(engine.now() - SECOND, TRIED, RULE))
    found = stored(engine, claim.id)
    assert (found.status, found.at) == ("ready", due)
    assert named(worker.claim(9)) == ["a", "b"]


def test_each_released_job_waits_for_a_moment_of_its_own(engine: Engine, worker: Worker) -> None:
    now = engine.now()
    push(engine, "a", "b")
    moments = [now + HOUR, now + 50 * MS]
    for claim, moment in zip(worker.claim(2), moments, strict=True):
        worker.end(claim, ReleaseUntil(moment, TRIED, RULE))
    wait_for(engine, moments[1])
    assert named(worker.claim(9)) == ["b"]
    assert count_of(engine) == QueueCounts("q", delayed=1, running=1)


def test_a_limit_shows_how_many_it_has_put_off(
    engine: Engine, worker: Worker, clock: Clock
) -> None:
    engine.admit([RULE])
    moment = engine.admit([RULE]).until
    hold(worker, "a", "b", moment=moment)
    other = Rule("other", 7, HOUR)
    hold(worker, "c", moment=clock.now + SECOND, rule=other)
    uses = {use.rule: (use.window.used, use.released, use.parked) for use in engine.limits()}
    assert uses == {RULE: (1, 2, 0), other: (0, 1, 0)}
    clock.forward(SECOND)
    assert named(worker.claim(9)) == ["c"]
    assert [(use.rule, use.released) for use in engine.limits()] == [(RULE, 2)]


def test_a_released_job_no_longer_waits_for_its_limit_when_it_is_ready(
    engine: Engine, worker: Worker
) -> None:
    """Nobody takes a step, as while all workers are busy or the pool is paused."""
    other = Rule("other", 7, HOUR)
    hold(worker, "a", "b", moment=engine.now() + HOUR)
    soon = engine.now() + 800 * MS
    early = hold(worker, "c", moment=soon) + hold(worker, "d", "e", moment=soon, rule=other)
    wait_for(engine, stored(engine, early[-1]).at)
    assert [(use.rule, use.released) for use in engine.limits()] == [(RULE, 2)]
    assert [job.id for job in engine.page("delayed", limit=other.key).jobs] == []
    assert count_of(engine) == QueueCounts("q", ready=3, delayed=2)._replace(
        oldest=count_of(engine).oldest
    )
    engine.cancel([job.id for job in engine.page("delayed").jobs])
    assert engine.limits() == [], "all that are left are ready"


def test_released_jobs_are_cancelled_and_purged(engine: Engine, worker: Worker) -> None:
    first, second, third = hold(worker, "a", "b", "c", moment=engine.now() + HOUR)
    assert engine.cancel([first])
    assert engine.find(first) is None
    assert [use.released for use in engine.limits()] == [2]
    assert engine.purge("q") == 2
    assert [engine.find(one) for one in (second, third)] == [None, None]
    assert engine.limits() == []
    assert count_of(engine) == QueueCounts("q")
    assert worker.claim() == []


def test_a_released_job_wakes_the_waiter_at_its_moment(engine: Engine, worker: Worker) -> None:
    hold(worker, "a", moment=engine.now() + 100 * MS)
    until(lambda: engine.wait(["q"], 5) > 0, 5, "a token")
    assert named([worker.claim_soon()]) == ["a"]


def test_many_released_jobs_come_back_in_their_order(engine: Engine, worker: Worker) -> None:
    names = [f"{n:04}" for n in range(2500)]
    ids = push(engine, *names)
    moment = engine.now() + 2 * SECOND
    claims = worker.claim(2500)
    worker.step(
        *(Settlement(one, ReleaseUntil(moment - n, TRIED, RULE)) for n, one in enumerate(claims))
    )
    push(engine, "late")
    wait_for(engine, moment)
    assert named(worker.claim(9999)) == [*names, "late"]
    assert len(ids) == 2500


# lines


def test_a_line_has_the_order_of_due_times(engine: Engine, worker: Worker) -> None:
    """Whichever job parks first. A job that parks again regains its place."""
    rule = full(engine, window=100 * MS)
    push(engine, "a", "b", "c")
    for claim in reversed(worker.claim(3)):
        worker.end(claim, Park((rule,), 0))
    first = worker.claim_soon()
    assert first.body == b"a"
    worker.end(first, Park((rule,), 0))
    assert named([worker.claim_soon() for _ in range(3)]) == ["a", "b", "c"]


def test_a_head_that_another_limit_holds_back_holds_up_nobody(
    engine: Engine, worker: Worker, clock: Clock
) -> None:
    """Two jobs of one user come first; other users do not wait for them."""
    common = full(engine, "common", 60 * SECOND)
    user = full(engine, "user")
    park(worker, "u1", "u2", rules=[common, user])
    park(worker, "v", rules=[common, Rule("other", 9, HOUR)])
    park(worker, "w", rules=[common])
    for name in ("v", "w"):
        assert worker.claim() == []
        clock.forward(common.window)
        assert named([worker.claim_soon()]) == [name]
    uses = {use.rule.key: use.parked for use in engine.limits()}
    assert (uses["user"], uses.get("common", 0)) == (2, 0)


def test_a_moved_job_is_before_those_that_parked_there_later(
    engine: Engine, worker: Worker, clock: Clock
) -> None:
    short, long = full(engine, "short", 60 * SECOND), full(engine, "long")
    park(worker, "a", rules=[short, long])
    park(worker, "b", rules=[long])
    clock.forward(short.window)
    until(lambda: not worker.claim() and _parked(engine, "long") == 2, 5, "the move")
    for name in ("a", "b"):
        clock.forward(long.window)
        assert named([worker.claim_soon()]) == [name]


def _parked(engine: Engine, key: str) -> int:
    return sum(use.parked for use in engine.limits() if use.rule.key == key)


def test_the_limit_that_was_named_last_counts_for_the_line(engine: Engine, worker: Worker) -> None:
    park(worker, "a", "b", rules=[Rule("k", 1, HOUR)])
    park(worker, "c", rules=[Rule("k", 3, HOUR)])
    assert [named(worker.claim()) for _ in range(4)] == [["a"], ["b"], ["c"], []]
    park(worker, "d", rules=[Rule("k", 3, HOUR)])
    assert worker.claim() == []
    assert [use.rule.limit for use in engine.limits()] == [3]


# strict queues


def test_a_ready_job_of_a_queue_comes_before_a_parked_one_of_a_later_queue(
    engine: Engine, worker: Worker
) -> None:
    park(worker, "low", rules=[Rule("k", 5, HOUR)])
    push(engine, "high1", "high2", queue="high")
    asked = ["high", "q"]
    assert named(worker.claim(1, asked)) == ["high1"]
    step = worker.step(want=9, queues=asked)
    assert named(step.claims) == ["high2", "low"]
    assert [claim.admitted for claim in step.claims] == [False, True]


# a granted job that is given back


@pytest.mark.parametrize("way", ["given back", "recovered"])
def test_a_granted_job_given_back_keeps_its_slot(engine: Engine, worker: Worker, way: str) -> None:
    rule = Rule("k", 1, HOUR)
    (pushed,) = park(worker, "a", rules=[rule])
    push(engine, "b")
    claim = worker.claim_soon()
    if way == "given back":
        worker.end(claim, GIVE_BACK)
    else:
        engine.recover("w1", died(worker.request))
        worker = Worker(engine, "w2")
    assert stored(engine, pushed).status == "ready"
    claims = worker.claim(2)
    assert [(one.body, one.admitted) for one in claims] == [(b"a", True), (b"b", False)]
    worker.step(*(Settlement(one, GIVE_BACK) for one in claims))
    again = worker.claim(2)
    assert [(one.body, one.admitted) for one in again] == [(b"a", True), (b"b", False)]
    assert [(use.rule, use.window.used) for use in engine.limits()] == [(rule, 1)]
    worker.step(*(Settlement(one, ACK) for one in again))
    assert count_of(engine) == QueueCounts("q")


def test_a_granted_job_must_ask_again_once_the_window_has_ended(
    engine: Engine, worker: Worker
) -> None:
    """Of two windows, the one that ends first counts."""
    short = Rule("short", 1, 100 * MS)
    park(worker, "a", rules=[Rule("long", 1, HOUR), short])
    worker.end(worker.claim_soon(), GIVE_BACK)
    wait_for(engine, engine.now() + short.window)
    (claim,) = worker.claim()
    assert (claim.body, claim.admitted) == (b"a", False)


def test_a_crashed_job_has_used_its_slot(engine: Engine, worker: Worker) -> None:
    park(worker, "a", rules=[Rule("k", 1, HOUR)])
    worker.claim_soon()
    engine.recover("w1", died(worker.request, started=0))
    (claim,) = Worker(engine, "w2").claim()
    assert not claim.admitted


# due times


@pytest.mark.parametrize("way", ["delay", "at"])
def test_a_due_time_in_the_past_is_now_in_order(engine: Engine, worker: Worker, way: str) -> None:
    push(engine, "a")
    before = engine.now()
    past = (-HOUR, 0) if way == "delay" else (0, before - HOUR)
    pushes = [
        Push(new_id(), "q", b"b", *past),
        Push(new_id(), "q", b"c"),
        Push(new_id(), "q", b"d", *past),
        Push(new_id(), "q", b"later", HOUR, 0),
    ]
    engine.push(pushes)
    push(engine, "e")
    assert before <= stored(engine, pushes[0].id).at <= engine.now()
    assert count_of(engine) == QueueCounts("q", ready=5, delayed=1)
    assert named(worker.claim(9)) == ["a", "b", "c", "d", "e"]
