"""What a limit shows of the jobs that it has released, how they come back, and whom they wake."""

from __future__ import annotations

import pytest

from poolq.engines.base import Engine, QueueCounts, Settlement
from poolq.jobs.limits import Rule
from poolq.jobs.message import State
from poolq.jobs.outcomes import ReleaseUntil
from tests.contract.helpers import HOUR, MS, SECOND, Worker, count_of, full, named, push
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
    names = [f"{n:04}" for n in range(900)]  # a step brings at most 1,000 back
    push(engine, *names)
    moment = clock.now + SECOND
    claims = worker.claim(900)
    worker.step(
        *(Settlement(one, ReleaseUntil(moment - n, TRIED, RULE)) for n, one in enumerate(claims))
    )
    push(engine, "late")
    clock.forward(SECOND)
    assert named(worker.claim(9999)) == [*names, "late"]


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
