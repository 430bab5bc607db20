"""A hold that ends while a start is decided. Between whichever two statements it ends, no start is
recorded within the hold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import pytest

from poolq.engines.base import Claim, Engine
from poolq.engines.spans import span_of
from poolq.jobs.limits import Gate, Rule
from tests.contract.helpers import HOUR, SECOND, Worker, park
from tests.support.clock import Clock

LIMIT = Rule("k", 1, HOUR)
RULES = pytest.mark.parametrize(
    "rules",
    [[LIMIT], [LIMIT._replace(sliding=True)], [Gate("gate", 1), LIMIT]],
    ids=["fixed", "sliding", "gate"],
)
#: For how many microseconds the key is held; the longest are more than a decision has statements.
LENGTHS = range(1, 28)


def decide(
    engine: Engine, clock: Clock, rule: Rule, length: int, start: Callable[[], bool]
) -> bool:
    """Hold the rule's key and call `start` at once, which tells whether a job has started. Returns
    that. The start must be recorded at the end of the hold or later."""
    began, end = clock.now, clock.now + engine.hold(rule.key, length)
    with clock.ticking():
        started = start()
    used = [use.window for use in engine.limits() if span_of(use.rule) == span_of(rule)]
    recorded = [window.start for window in used if window.start >= began]
    assert len(recorded) == int(started), length
    assert [end - at for at in recorded if at < end] == [], length
    return started


def alone(rules: Sequence[Rule], number: int) -> list[Rule]:
    """The same rules with keys that nobody has used."""
    return [rule._replace(key=f"{rule.key}{number}") for rule in rules]


@RULES
def test_no_start_that_a_claim_asks_for_is_within_the_hold(
    engine: Engine, worker: Worker, clock: Clock, rules: Sequence[Rule]
) -> None:
    for length in LENGTHS:
        claim = worker.take("a")
        mine = alone(rules, length)
        start = partial(is_admitted, engine, mine, claim)
        started = decide(engine, clock, mine[-1], length, start)
        worker.end(claim)
        clock.forward(HOUR)
    assert not started


def is_admitted(engine: Engine, rules: Sequence[Rule], claim: Claim) -> bool:
    return engine.admit(rules, ("w1", claim)).wait == 0


@RULES
def test_no_start_that_a_parked_job_is_given_is_within_the_hold(
    engine: Engine, worker: Worker, clock: Clock, rules: Sequence[Rule]
) -> None:
    for length in LENGTHS:
        mine = alone(rules, length)
        first = worker.take("first")
        assert is_admitted(engine, mine, first)
        park(worker, "a", rules=mine, refused=len(mine) - 1)
        worker.end(first)
        clock.forward(HOUR)
        claims: list[Claim] = []
        started = decide(engine, clock, mine[-1], length, partial(takes_one, worker, claims))
        clock.forward(SECOND)
        assert started != takes_one(worker, claims)
        assert claims[0].admitted
        worker.end(claims[0])
        clock.forward(HOUR)
    assert not started


def takes_one(worker: Worker, claims: list[Claim]) -> bool:
    found = worker.claim()
    claims += found
    return bool(found)
