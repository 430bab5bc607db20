"""Rate limits: a window opens with its first start and never has more starts than its limit."""

from __future__ import annotations

import pytest

from poolq.engines.base import Engine, LimitUse, Push
from poolq.errors import Fenced
from poolq.jobs.limits import Admission, Gate, Rule
from poolq.jobs.message import State
from poolq.jobs.outcomes import DONE, GIVE_BACK, ReleaseUntil
from tests.contract.crowd import Crowd, start_for
from tests.contract.helpers import HOUR, MS, SECOND, Worker, every_engine, new_id, push, wait_for
from tests.support.clock import Clock


def use_of(engine: Engine, rule: Rule) -> LimitUse:
    """The counter of (key, window), whatever its limit is."""
    name = rule.key, rule.window
    (found,) = (use for use in engine.limits() if (use.rule.key, use.rule.window) == name)
    return found


def test_a_window_holds_its_limit_and_no_more(engine: Engine) -> None:
    rule = Rule("mail", 3, HOUR)
    assert [engine.admit([rule]).wait for _ in range(3)] == [0, 0, 0]
    refused = engine.admit([rule])
    assert HOUR - 10 * SECOND < refused.wait <= HOUR
    assert refused.rule == 0
    assert use_of(engine, rule).window.used == 3


def test_two_rules_are_taken_together_or_not_at_all(engine: Engine) -> None:
    wide, narrow = Rule("wide", 5, HOUR), Rule("narrow", 1, HOUR)
    assert engine.admit([wide, narrow]).wait == 0
    for rules, refusing in (([wide, narrow], 1), ([narrow, wide], 0)):
        refused = engine.admit(rules)
        assert (refused.wait > 0, refused.rule) == (True, refusing)
    assert use_of(engine, wide).window.used == 1
    assert use_of(engine, narrow).window.used == 1


def test_a_refused_start_opens_no_window(engine: Engine) -> None:
    taken, unused = Rule("taken", 1, HOUR), Rule("unused", 1, HOUR)
    engine.admit([taken])
    assert engine.admit([unused, taken]).rule == 1
    assert [use.rule.key for use in engine.limits()] == ["taken"]


def test_the_same_key_with_another_window_is_another_counter(engine: Engine) -> None:
    second, hour = Rule("mail", 1, 10 * SECOND), Rule("mail", 2, HOUR)
    assert engine.admit([second, hour]).wait == 0
    refused = engine.admit([second, hour])
    assert refused.rule == 0
    assert refused.wait <= 10 * SECOND
    assert engine.admit([hour]).wait == 0
    assert engine.admit([hour]).wait > 0


def test_a_limit_that_was_raised_counts_what_was_used(engine: Engine) -> None:
    """A deployment changes the limit: (key, window) identifies the counter, which continues."""
    for _ in range(2):
        engine.admit([Rule("mail", 2, HOUR)])
    assert engine.admit([Rule("mail", 3, HOUR)]).wait == 0
    assert engine.admit([Rule("mail", 3, HOUR)]).wait > 0
    assert engine.admit([Rule("mail", 1, HOUR)]).wait > 0


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("mail", "Mail"), ("mail", "mail "), ("a:b", "a"), ("ü", "u"), ("{a}", "a"), ("%", "_"),
        ("k" * 200 + "x", "k" * 200 + "y"),
    ],
)  # fmt: skip
def test_keys_are_told_apart_by_every_byte(engine: Engine, one: str, two: str) -> None:
    assert engine.admit([Rule(one, 1, HOUR)]).wait == 0
    assert engine.admit([Rule(two, 1, HOUR)]).wait == 0
    assert {use.rule.key for use in engine.limits()} == {one, two}


LIMIT, GATE = Rule("k", 5, HOUR), Gate("gate", 5)


@every_engine
@pytest.mark.parametrize(
    "rules",
    [
        [LIMIT], [LIMIT, Rule("l", 5, HOUR)], [LIMIT._replace(cost=2)],
        [LIMIT._replace(sliding=True)], [GATE], [GATE, LIMIT],
    ],
    ids=["limit", "two limits", "cost", "sliding", "gate", "gate and limit"],
)  # fmt: skip
@pytest.mark.parametrize("waits", [False, True], ids=["", "while one waits"])
def test_a_worker_that_asks_again_as_the_answer_was_lost_gets_it_and_counts_once(
    engine: Engine, worker: Worker, rules: list[Rule], waits: bool
) -> None:
    """Also while another job waits for the gate."""

    def counted() -> list[tuple[int, int]]:
        every = engine.limits()
        return [(one.window.used, one.starts * (not isinstance(one.rule, Gate))) for one in every]

    push(engine, "a", "b")
    if waits:
        engine.push([Push(new_id(), "q", b"c", gate=GATE)])
    for claim in worker.claim(2):
        first = engine.admit(rules, ("w1", claim))
        before = counted()
        assert first.wait == 0
        assert engine.admit(rules, ("w1", claim)) == first
        assert counted() == before
        worker.end(claim, DONE)


def test_a_worker_that_asks_again_gets_its_start_whatever_has_happened_since(
    engine: Engine, worker: Worker, clock: Clock
) -> None:
    """An earlier job that the limit has released is due, the key is held, or nothing is left."""
    rule = Rule("k", 1, HOUR)
    engine.admit([rule])
    early, late = worker.take_all("early", "late")
    worker.end(early, ReleaseUntil(engine.now() + HOUR, State(1), rule))
    engine.reset_limit("k", HOUR, starts=True)
    assert engine.admit([rule], ("w1", late)) == Admission(0)
    engine.hold("k", 3 * HOUR)
    assert engine.admit([rule], ("w1", late)) == Admission(0)
    clock.forward(2 * HOUR)
    assert engine.admit([rule], ("w1", late)) == Admission(0)
    assert engine.admit([rule]).held


def test_a_claim_that_was_lost_takes_no_slot(engine: Engine, worker: Worker) -> None:
    """It went to another worker, back to its queue, or to the same worker again."""
    first = worker.take("a")
    worker.end(first, GIVE_BACK)
    rule = Rule("mail", 1, HOUR)
    lost = Admission(0, stale=True)
    assert engine.admit([rule], ("w1", first)) == lost
    (again,) = Worker(engine, "w2").claim()
    assert engine.admit([rule], ("w1", first)) == lost
    assert engine.admit([rule], ("w1", again)) == lost
    engine.recover("w2", None)
    (mine,) = worker.claim()
    assert engine.admit([rule], ("w1", first)) == lost
    assert engine.limits() == []
    assert engine.admit([rule], ("w1", mine)) == Admission(0)


def test_a_worker_that_was_taken_for_dead_is_fenced_and_takes_no_slot(
    engine: Engine, worker: Worker
) -> None:
    claim = worker.take("a")
    engine.recover("w1", None)
    with pytest.raises(Fenced):
        engine.admit([Rule("mail", 1, HOUR)], ("w1", claim))
    assert engine.limits() == []


def test_limits_show_the_open_windows(engine: Engine) -> None:
    engine.admit([Rule("mail", 5, HOUR)])
    engine.admit([Rule("gone", 5, 1)])
    wait_for(engine, engine.now() + MS)
    (use,) = engine.limits()
    assert use.rule == Rule("mail", 5, HOUR)
    assert use.window.used == 1
    assert use.parked == 0
    assert HOUR - 10 * SECOND < use.resets_in <= HOUR


def test_limits_count_their_starts_over_windows(engine: Engine, clock: Clock) -> None:
    """Even over windows that nobody has queried."""
    short, long = Rule("mail", 2, HOUR // 30), Rule("mail", 9, HOUR)
    for _ in range(3):
        assert not engine.admit([short, long]).wait
        assert not engine.admit([short, long]).wait
        assert engine.admit([short, long]).wait
        clock.forward(short.window)
    assert not engine.admit([short, long]).wait
    found = {use.rule.window: (use.window.used, use.starts) for use in engine.limits()}
    assert found == {HOUR: (7, 7), short.window: (1, 7)}


def test_four_processes_never_exceed_a_window(engine: Engine, crowd: Crowd) -> None:
    """At most T / window + 1 windows fit into the time T. Each but the last begins when the one
    before it is over, so if fewer starts were granted, a window was too long."""
    rule = Rule("mail", 3, 50 * MS)
    results = crowd.act(start_for, engine.url, engine.namespace, rule, 400 * MS)
    began, ended = min(one[1] for one in results), max(one[2] for one in results)
    windows = (ended - began) // rule.window + 1
    assert 2 * rule.limit < sum(one[0] for one in results) <= windows * rule.limit
