"""Jobs that a limit has released keep their place; parked ones keep the order of the queue."""

from __future__ import annotations

import pytest

from poolq.engines.base import Claim, Engine, QueueCounts, Settlement
from poolq.jobs.limits import Rule
from poolq.jobs.message import State
from poolq.jobs.retry import ACK, GIVE_BACK, Outcome, Park, ReleaseUntil
from tests.contract.conftest import OpenEngine
from tests.contract.helpers import (
    HOUR,
    MS,
    SECOND,
    Worker,
    count_of,
    full,
    kind,
    named,
    park,
    push,
    stored,
    total,
    wait_for,
)
from tests.contract.waiters import LONG, quiet
from tests.support.wait import until

RULE = Rule("mail", 2, HOUR)
#: A longer state, told apart from an untried job's.
TRIED = State(1, history=b"limited")


def release(worker: Worker, claims: list[Claim], moment: int, rule: Rule = RULE) -> None:
    outcome = ReleaseUntil(moment, TRIED, rule)
    assert worker.step(*(Settlement(claim, outcome) for claim in claims)).stale == []


def soon(engine: Engine, micros: int = 60 * MS) -> int:
    return engine.now() + micros


def test_an_admission_tells_until_when_it_is_refused(engine: Engine) -> None:
    before = engine.now()
    rule = full(engine, window=HOUR)
    after = engine.now()
    refused = engine.admit([rule])
    assert before + HOUR <= refused.until <= after + HOUR
    assert engine.admit([Rule("other", 1, HOUR)]).until == 0


def test_of_two_refusing_rules_the_named_one_tells_the_wait(engine: Engine) -> None:
    rules = [full(engine, "short", SECOND), full(engine, "long", HOUR)]
    refused = engine.admit(rules)
    assert refused.rule == 1
    assert refused.until > engine.now() + 2 * SECOND


def test_a_released_job_is_delayed_until_then(engine: Engine, worker: Worker) -> None:
    (pushed,) = push(engine, "a")
    moment = soon(engine, HOUR)
    release(worker, worker.claim(), moment)
    assert worker.claim() == []
    found = stored(engine, pushed)
    assert (found.status, found.at, found.state) == ("delayed", moment, TRIED)
    assert count_of(engine) == QueueCounts("q", delayed=1)
    assert (total(engine, "limited"), total(engine, "retried")) == (1, 0)


def test_released_jobs_come_before_all_that_were_dispatched_after_them(
    engine: Engine, worker: Worker
) -> None:
    push(engine, *"abcdef")
    claims = worker.claim(4)
    moment = soon(engine)
    release(worker, [claims[2], claims[1], claims[3]], moment)
    push(engine, "g")
    wait_for(engine, moment)
    again = worker.claim(9)
    assert named(again) == ["b", "c", "d", "e", "f", "g"]
    assert [claim.state for claim in again] == [TRIED] * 3 + [State()] * 3
    assert not any(claim.admitted for claim in again)


def test_each_job_is_released_until_its_own_time(engine: Engine, worker: Worker) -> None:
    """As with jitter."""
    push(engine, *"abc")
    claims = worker.claim(3)
    last = soon(engine, HOUR)
    release(worker, [claims[0]], last)
    moment = soon(engine)
    release(worker, [claims[1]], moment)
    release(worker, [claims[2]], moment + 1)
    wait_for(engine, moment + 1)
    assert named(worker.claim(9)) == ["b", "c"]
    assert count_of(engine) == QueueCounts("q", delayed=1, running=2)
    assert worker.claim() == []


def test_what_is_released_again_keeps_its_place(engine: Engine, worker: Worker) -> None:
    push(engine, *"ab")
    (first,) = worker.claim()
    for _ in range(2):
        moment = soon(engine, 20 * MS)
        release(worker, [first], moment)
        wait_for(engine, moment)
        (first,) = worker.claim()
        assert named([first]) == ["a"]


def test_jobs_of_several_keys_come_back_together(engine: Engine, worker: Worker) -> None:
    push(engine, *"abcd")
    claims = worker.claim(3)
    moment = soon(engine)
    for n, claim in enumerate(reversed(claims)):
        release(worker, [claim], moment, Rule(f"user {n}", 1, SECOND))
    wait_for(engine, moment)
    assert named(worker.claim(9)) == ["a", "b", "c", "d"]


def test_two_thousand_come_back_in_order(engine: Engine, worker: Worker) -> None:
    names = [str(n) for n in range(2000)]
    push(engine, *names)
    moment = soon(engine, 2 * SECOND)
    release(worker, worker.claim(2000)[::-1], moment)
    until(lambda: engine.now() > moment, 10)
    assert worker.drain() == names


@pytest.mark.parametrize("queues", [["q"], None], ids=str)
def test_a_released_job_wakes_the_waiter_when_its_window_ends(
    engine: Engine, worker: Worker, queues: list[str] | None
) -> None:
    push(engine, "a")
    for delay in (150 * MS, SECOND, 10 * SECOND):
        moment = soon(engine, delay)
        release(worker, worker.claim(), moment)
        quiet(engine, queues)
        if engine.now() < moment:  # else it is due, and has woken who took the tokens
            break
    assert engine.wait(queues, LONG) > 0
    assert named(until(lambda: worker.claim(1, queues), 5)) == ["a"]


def test_limits_count_those_that_wait_for_the_end_of_a_window(
    engine: Engine, worker: Worker
) -> None:
    for _ in range(2):
        engine.admit([RULE])
    park(worker, "p", rules=[RULE])
    push(engine, *"ab")
    release(worker, worker.claim(2), soon(engine, HOUR))
    (use,) = engine.limits()
    assert (use.rule, use.parked, use.released, use.window.used) == (RULE, 1, 2, 2)


@pytest.mark.parametrize("way", ["cancel", "purge"])
def test_a_released_job_can_be_taken_away(engine: Engine, worker: Worker, way: str) -> None:
    (pushed,) = push(engine, "a")
    release(worker, worker.claim(), soon(engine, HOUR))
    if way == "cancel":
        assert engine.cancel([pushed])
    else:
        assert engine.purge("q") == 1
    assert engine.find(pushed) is None
    assert count_of(engine) == QueueCounts("q")
    assert engine.limits() == []
    assert worker.claim() == []


def test_a_paused_queue_keeps_a_released_job(engine: Engine, worker: Worker) -> None:
    push(engine, *"ab")
    moment = soon(engine, 20 * MS)
    release(worker, worker.claim(), moment)
    engine.pause("q")
    wait_for(engine, moment)
    assert worker.claim() == []
    engine.resume("q")
    assert named(worker.claim(2)) == ["a", "b"]


# parked


def test_a_parked_job_that_parks_again_gets_its_place_back(engine: Engine, worker: Worker) -> None:
    rule = full(engine, window=20 * MS)
    park(worker, *"abc", rules=[rule])
    for _ in range(2):
        claim = worker.claim_soon()
        assert named([claim]) == ["a"]
        worker.end(claim, Park((rule,), 0))
    assert named([worker.claim_soon() for _ in range(3)]) == ["a", "b", "c"]


def test_the_line_has_the_order_of_the_queue_not_of_the_parking(
    engine: Engine, worker: Worker
) -> None:
    rule = full(engine, window=20 * MS)
    push(engine, *"abc")
    for claim in reversed(worker.claim(3)):
        worker.end(claim, Park((rule,), 0))
    assert named([worker.claim_soon() for _ in range(3)]) == ["a", "b", "c"]


def test_a_job_that_another_limit_holds_back_holds_up_nobody(
    engine: Engine, worker: Worker
) -> None:
    """100 a second and 1 an hour for each user: the heads are of one user, whose hour is used
    up."""
    wide, mine, theirs = Rule("all", 100, 20 * MS), full(engine, "me"), Rule("you", 1, HOUR)
    push(engine, *"abcde")
    rules = [mine, mine, mine, mine, theirs]
    for claim, own in zip(worker.claim(5), rules, strict=True):
        worker.end(claim, Park((wide, own), 0))
    assert named([worker.claim_soon()]) == ["e"]
    assert {use.rule.key: use.parked for use in engine.limits() if use.parked} == {"me": 4}


# strict order of queues


def test_a_parked_job_does_not_overtake_a_ready_one_of_a_queue_before_its_own(
    engine: Engine, worker: Worker
) -> None:
    push(engine, "parked", queue="low")
    worker.end(worker.claim(1, ["low"])[0], Park((Rule("k", 5, HOUR),), 0))
    push(engine, *"ab", queue="high")
    claims = [worker.claim(1, ["high", "low"]) for _ in range(3)]
    assert [named(some) for some in claims] == [["a"], ["b"], ["parked"]]
    assert worker.claim(1, ["high", "low"]) == []


def test_beside_ready_ones_of_a_queue_before_its_own_it_comes_after_them(
    engine: Engine, worker: Worker
) -> None:
    push(engine, "parked", queue="low")
    worker.end(worker.claim(1, ["low"])[0], Park((Rule("k", 5, HOUR),), 0))
    push(engine, "ready", queue="low")
    push(engine, *"ab", queue="high")
    found: list[str] = []
    while some := worker.claim(9, ["high", "low"]):
        found += named(some)
    assert found == ["a", "b", "parked", "ready"]


def test_a_parked_job_of_the_first_queue_leaves_the_next_queue_nothing_while_its_own_has_some(
    engine: Engine, worker: Worker
) -> None:
    push(engine, "parked", queue="high")
    worker.end(worker.claim(1, ["high"])[0], Park((Rule("k", 5, HOUR),), 0))
    push(engine, "ready", queue="high")
    push(engine, "low", queue="low")
    found: list[str] = []
    while some := worker.claim(9, ["high", "low"]):
        found += named(some)
    assert found == ["parked", "ready", "low"]


# slots that were given


def test_a_granted_job_that_is_given_back_keeps_its_slot(engine: Engine, worker: Worker) -> None:
    (pushed,) = park(worker, "a", rules=[Rule("k", 1, HOUR)])
    push(engine, "b")
    worker.end(worker.claim_soon(), GIVE_BACK)
    assert stored(engine, pushed).status == "ready"
    for _ in range(2):
        claims = worker.claim(2)
        assert [(one.body, one.admitted) for one in claims] == [(b"a", True), (b"b", False)]
        assert worker.again(want=2).claims == claims
        worker.step(*(Settlement(claim, GIVE_BACK) for claim in claims))
    assert [use.window.used for use in engine.limits()] == [1]


def test_a_granted_job_that_is_recovered_unstarted_keeps_its_slot(
    engine: Engine, worker: Worker
) -> None:
    push(engine, *"ab")
    first, second = worker.claim(2)
    worker.end(second, Park((Rule("k", 1, HOUR),), 0))
    granted = worker.claim_soon()
    assert named([granted]) == ["b"]
    engine.recover("w1", None)  # the first is assumed to have crashed
    again = Worker(engine, "w2").claim(2)
    assert [(one.body, one.admitted) for one in again] == [(b"a", False), (b"b", True)]
    assert first.request < granted.request


def test_a_granted_job_must_ask_again_after_its_window(engine: Engine, worker: Worker) -> None:
    park(worker, "a", rules=[Rule("k", 1, 30 * MS)])
    worker.end(worker.claim_soon(), GIVE_BACK)
    wait_for(engine, engine.now() + 30 * MS)
    assert [claim.admitted for claim in worker.claim()] == [False]


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


# due already


def test_what_should_have_been_long_ago_is_due_like_a_job_dispatched_now(
    engine: Engine, worker: Worker, opened: OpenEngine
) -> None:
    push(engine, "a")
    before = engine.now()
    late = [push(engine, "b", delay=-HOUR), push(engine, "c", at=before - HOUR)]
    push(engine, "d")
    for (pushed,) in late:
        found = stored(engine, pushed)
        assert found.status == "ready"
        assert before <= found.at <= engine.now()
    assert named(worker.claim(9)) == ["a", "b", "c", "d"]
