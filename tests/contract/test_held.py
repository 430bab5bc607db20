"""Jobs that a limit holds back keep their place: released jobs, lines, and granted slots."""

from __future__ import annotations

import pytest

from poolq.engines.base import Engine, Push, QueueCounts, Settlement
from poolq.jobs.limits import Rule
from poolq.jobs.message import State
from poolq.jobs.retry import ACK, GIVE_BACK, Outcome, Park, ReleaseUntil
from tests.contract.helpers import (
    HOUR,
    MS,
    SECOND,
    Worker,
    count_of,
    died,
    full,
    kind,
    named,
    new_id,
    park,
    push,
    stored,
    wait_for,
)
from tests.contract.waiters import LONG, quiet
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


def test_of_two_refusing_rules_the_named_one_tells_the_wait(engine: Engine) -> None:
    rules = [full(engine, "short", SECOND), full(engine, "long", HOUR)]
    refused = engine.admit(rules)
    assert refused.rule == 1
    assert refused.until > engine.now() + 2 * SECOND


def test_released_jobs_keep_their_place_when_all_queues_are_served(
    engine: Engine, worker: Worker, clock: Clock
) -> None:
    hold(worker, "a", "b", moment=clock.now + SECOND)
    push(engine, "c")
    clock.forward(SECOND)
    assert named(worker.claim(9, None)) == ["a", "b", "c"]


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
    engine: Engine, worker: Worker, clock: Clock
) -> None:
    """Nobody takes a step, as while all workers are busy or the pool is paused."""
    other = Rule("other", 7, HOUR)
    hold(worker, "a", "b", moment=clock.now + HOUR)
    soon = clock.now + SECOND
    hold(worker, "c", moment=soon)
    hold(worker, "d", "e", moment=soon, rule=other)
    clock.forward(SECOND)
    assert [(use.rule, use.released) for use in engine.limits()] == [(RULE, 2)]
    assert [job.id for job in engine.page("delayed", limit=other.key).jobs] == []
    assert count_of(engine) == QueueCounts("q", ready=3, delayed=2)._replace(
        oldest=count_of(engine).oldest
    )
    engine.cancel([job.id for job in engine.page("delayed").jobs])
    assert engine.limits() == [], "all that are left are ready"


def test_many_released_jobs_come_back_in_their_order(
    engine: Engine, worker: Worker, clock: Clock
) -> None:
    names = [f"{n:04}" for n in range(2500)]
    push(engine, *names)
    moment = clock.now + SECOND
    claims = worker.claim(2500)
    worker.step(
        *(Settlement(one, ReleaseUntil(moment - n, TRIED, RULE)) for n, one in enumerate(claims))
    )
    push(engine, "late")
    clock.forward(SECOND)
    assert named(worker.claim(9999)) == [*names, "late"]


def test_jobs_of_several_keys_come_back_together(
    engine: Engine, worker: Worker, clock: Clock
) -> None:
    push(engine, *"abcd")
    for n, claim in enumerate(reversed(worker.claim(3))):
        rule = Rule(f"user {n}", 1, SECOND)
        worker.end(claim, ReleaseUntil(clock.now + SECOND, TRIED, rule))
    clock.forward(SECOND)
    assert named(worker.claim(9)) == [*"abcd"]


@pytest.mark.parametrize("queues", [["q"], None], ids=str)
def test_a_released_job_wakes_the_waiter_when_its_window_ends(
    engine: Engine, worker: Worker, queues: list[str] | None
) -> None:
    """By the real clock, because this is about waiting."""
    push(engine, "a")
    for delay in (150 * MS, SECOND, 10 * SECOND):
        moment = engine.now() + delay
        worker.end(worker.claim()[0], ReleaseUntil(moment, TRIED, RULE))
        quiet(engine, queues)
        if engine.now() < moment:  # else it is due, and has woken who took the tokens
            break
    assert engine.wait(queues, LONG) > 0
    assert named(until(lambda: worker.claim(1, queues))) == ["a"]


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
    assert worker.again(want=2).claims == again
    assert [(use.rule, use.window.used) for use in engine.limits()] == [(rule, 1)]
    worker.step(*(Settlement(one, ACK) for one in again))
    assert count_of(engine) == QueueCounts("q")


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
