"""Held keys: no job starts under their limits until the hold ends, and all wait in order."""

from __future__ import annotations

import pytest

from poolq.engines.base import ASK, Engine, LimitUse, QueueCounts, Settlement
from poolq.jobs.limits import Admission, Gate, HeldKey, Rule, Window
from poolq.jobs.message import State
from poolq.jobs.outcomes import ACK, GIVE_BACK, HoldKey, Park
from tests.contract.helpers import (
    HOUR,
    MS,
    SECOND,
    Worker,
    count_of,
    full,
    named,
    park,
    push,
    stored,
    sweep_all,
    total,
    used,
)
from tests.support.clock import Clock
from tests.support.wait import until

LIMIT = Rule("stripe", 10, HOUR)
OTHER = Rule("mail", 10, HOUR)
HOLD = HoldKey("stripe", 30 * SECOND)


def throw(worker: Worker, name: str = "thrower", hold: HoldKey = HOLD) -> str:
    """A job that holds a key. Returns its id."""
    (pushed,) = push(worker.engine, name)
    (claim,) = worker.claim()
    worker.end(claim, hold)
    return pushed


def test_a_held_key_refuses_starts_until_the_hold_ends(engine: Engine, clock: Clock) -> None:
    assert engine.hold("stripe", 30 * SECOND) == 30 * SECOND
    refused = engine.admit([OTHER, LIMIT])
    assert (refused.wait, refused.rule, refused.held) == (30 * SECOND, 1, True)
    assert refused.until == clock.now + 30 * SECOND
    clock.forward(30 * SECOND - 1)
    assert engine.admit([LIMIT]).wait == 1
    (use,) = engine.limits()
    assert (use.rule, use.parked, use.hold) == (HeldKey("stripe"), 0, 1), "without any job"
    clock.forward(1)
    assert engine.limits() == []
    assert engine.admit([LIMIT]) == Admission(0)


@pytest.mark.usefixtures("clock")
def test_all_limits_of_the_key_are_held(engine: Engine) -> None:
    engine.hold("stripe", SECOND)
    for window in (SECOND, HOUR):
        assert engine.admit([Rule("stripe", 10, window)]).held
    assert not engine.admit([Rule("stripes", 10, HOUR)]).held


@pytest.mark.usefixtures("clock")
def test_a_hold_comes_before_a_used_up_window(engine: Engine) -> None:
    """So its job parks, whatever `on_limit`, even if the window ends later."""
    full(engine, "stripe")
    engine.hold("stripe", SECOND)
    refused = engine.admit([Rule("stripe", 1, HOUR)])
    assert (refused.wait, refused.held) == (SECOND, True)


@pytest.mark.usefixtures("clock")
def test_the_longest_hold_refuses(engine: Engine) -> None:
    engine.hold("stripe", SECOND)
    engine.hold("mail", HOUR)
    assert engine.admit([LIMIT, OTHER])[:2] == (HOUR, 1)
    assert engine.admit([OTHER, LIMIT])[:2] == (HOUR, 0)


def test_a_hold_extends_and_never_shortens(engine: Engine, clock: Clock) -> None:
    engine.hold("stripe", 30 * SECOND)
    assert engine.hold("stripe", 10 * SECOND) == 30 * SECOND
    clock.forward(10 * SECOND)
    assert engine.hold("stripe", 30 * SECOND) == 30 * SECOND
    assert engine.admit([LIMIT]).wait == 30 * SECOND
    clock.forward(30 * SECOND)
    assert engine.admit([LIMIT]).wait == 0
    assert engine.hold("stripe", SECOND) == SECOND, "one that has ended extends none"


def test_a_hold_from_before_the_clock_went_back_is_over(engine: Engine, clock: Clock) -> None:
    engine.hold("stripe", HOUR)
    clock.back(MS)
    assert engine.admit([LIMIT]).wait == 0
    assert engine.hold("stripe", SECOND) == SECOND


def test_the_job_that_holds_a_key_waits_in_the_holds_line(
    engine: Engine, worker: Worker, clock: Clock
) -> None:
    pushed = throw(worker)
    assert count_of(engine) == QueueCounts("q", parked=1)
    assert total(engine, "parked") == 1
    found = stored(engine, pushed)
    assert (found.status, found.limit, found.state) == ("parked", "stripe", State())
    assert [job.id for job in engine.page("parked", limit="stripe").jobs] == [pushed]
    assert engine.admit([LIMIT]).wait == 30 * SECOND
    assert worker.claim() == []
    clock.forward(30 * SECOND)
    (claim,) = worker.claim()
    assert (claim.id, claim.admitted, claim.asks) == (pushed, False, 0)
    worker.end(claim)
    assert engine.limits() == []


def test_a_job_that_waits_for_a_hold_keeps_its_state(
    engine: Engine, worker: Worker, clock: Clock
) -> None:
    claim = worker.take("a")
    assert engine.recover("w1", None).crashed == (claim.id,)
    second = Worker(engine, "w2")
    (claim,) = second.claim()
    assert claim.state.crashes == 1
    second.end(claim, HOLD)
    clock.forward(30 * SECOND)
    assert second.claim()[0].state == claim.state


def test_jobs_wait_for_a_hold_in_their_order(engine: Engine, worker: Worker, clock: Clock) -> None:
    claims = worker.take_all("a", "b", "c", "d")
    for claim in (claims[2], claims[0], claims[1]):
        worker.end(claim, HOLD)
    clock.forward(30 * SECOND)
    worker.end(claims[3])
    assert worker.drain() == ["a", "b", "c"]


def test_a_job_behind_an_ended_hold_starts_although_the_clock_goes_back(
    engine: Engine, worker: Worker, clock: Clock
) -> None:
    throw(worker, "a")
    throw(worker, "b")
    clock.forward(50 * SECOND)
    assert named(worker.claim(1)) == ["a"]
    clock.back(10 * SECOND)
    assert named(worker.claim(1)) == ["b"]


def test_a_longer_hold_of_another_job_keeps_all_back(
    engine: Engine, worker: Worker, clock: Clock
) -> None:
    throw(worker, "a")
    throw(worker, "b", HoldKey("stripe", 50 * SECOND))
    clock.forward(30 * SECOND)
    assert worker.claim(5) == []
    clock.forward(20 * SECOND)
    assert worker.drain() == ["a", "b"]


def test_one_that_holds_the_key_again_keeps_the_others_back(
    engine: Engine, worker: Worker, clock: Clock
) -> None:
    for name in "abc":
        throw(worker, name)
    clock.forward(30 * SECOND)
    (claim,) = worker.claim(1)
    worker.end(claim, HOLD)
    assert worker.claim(5) == []
    clock.forward(30 * SECOND)
    assert worker.drain() == ["a", "b", "c"]


def test_parked_jobs_get_no_slot_of_a_held_key(
    engine: Engine, worker: Worker, clock: Clock
) -> None:
    park(worker, "a", "b", rules=[full(engine, "stripe", 20 * SECOND)])
    engine.hold("stripe", 30 * SECOND)
    clock.forward(20 * SECOND)
    assert worker.claim(5) == []
    assert count_of(engine) == QueueCounts("q", parked=2)
    clock.forward(10 * SECOND)
    claims = worker.claim(5)
    assert (named(claims), claims[0].admitted) == (["a"], True)


def test_a_step_that_holds_a_key_gives_no_slot_of_it(
    engine: Engine, worker: Worker, clock: Clock
) -> None:
    park(worker, "a", rules=[full(engine, "stripe", 20 * SECOND)])
    holder = worker.take("b")
    clock.forward(20 * SECOND)
    assert worker.step(Settlement(holder, HOLD), want=5).claims == []
    clock.forward(30 * SECOND)
    assert sorted(worker.drain()) == ["a", "b"]


def test_jobs_that_a_hold_refuses_get_their_slots_after_it(
    engine: Engine, worker: Worker, clock: Clock
) -> None:
    engine.hold("stripe", 30 * SECOND)
    rules = [OTHER, LIMIT]
    assert engine.admit(rules).rule == 1
    park(worker, "a", "b", rules=rules, refused=1)
    assert worker.claim(5) == []
    clock.forward(30 * SECOND)
    claims = worker.claim(1) + worker.claim(1)
    assert [(claim.body, claim.admitted) for claim in claims] == [(b"a", True), (b"b", True)]
    assert used(engine) == {"stripe": 2, "mail": 2}


def test_a_parked_job_waits_for_the_hold_of_another_of_its_limits(
    engine: Engine, worker: Worker, clock: Clock
) -> None:
    """And does not block the jobs behind it."""
    rule = full(engine, "tenant", 10 * SECOND)
    park(worker, "a", rules=[rule, LIMIT])
    park(worker, "b", rules=[rule])
    engine.hold("stripe", 30 * SECOND)
    clock.forward(10 * SECOND)
    until(lambda: named(worker.claim(1)) == ["b"], 5, "b")
    assert worker.claim(5) == []
    clock.forward(20 * SECOND)
    assert named(until(lambda: worker.claim(1), 5, "a")) == ["a"]


@pytest.mark.usefixtures("clock")
def test_a_lifted_hold_lets_all_go_at_once(engine: Engine, worker: Worker) -> None:
    throw(worker, "a")
    park(worker, "b", rules=[LIMIT])
    assert worker.claim(5) == []
    assert engine.lift("mail") is False
    assert worker.claim(5) == []
    assert engine.lift("stripe") is True
    assert sorted(worker.drain()) == ["a", "b"]
    assert engine.lift("stripe") is False


@pytest.mark.parametrize("lifted", [True, False])
def test_a_waiting_keeper_hears_of_the_end_of_a_hold(
    engine: Engine, worker: Worker, lifted: bool
) -> None:
    throw(worker, hold=HOLD if lifted else HoldKey("stripe", 2 * SECOND))
    assert worker.claim() == []
    while engine.wait(["q"], 0):
        pass
    if lifted:
        engine.lift("stripe")
    assert engine.wait(["q"], 5) >= 1
    assert worker.claim_soon().queue == "q"


@pytest.mark.usefixtures("clock")
def test_a_stale_settlement_holds_nothing(engine: Engine, worker: Worker) -> None:
    claim = worker.take("a")
    worker.end(claim, GIVE_BACK)
    assert worker.step(Settlement(claim, HOLD)).stale == [claim.id]
    assert engine.admit([LIMIT]).wait == 0
    assert engine.limits()[0].hold == 0


def test_a_repeated_settlement_does_not_extend_the_hold(
    engine: Engine, worker: Worker, clock: Clock
) -> None:
    claim = worker.take("a")
    worker.step(Settlement(claim, HOLD))
    clock.forward(10 * SECOND)
    assert worker.again(Settlement(claim, HOLD)).stale == []
    assert engine.admit([LIMIT]).wait == 20 * SECOND


@pytest.mark.usefixtures("clock")
def test_a_cancelled_job_holds_nothing(engine: Engine, worker: Worker) -> None:
    claim = worker.take("a")
    assert engine.request_cancel([claim.id], 0) == [claim.id]
    assert worker.step(Settlement(claim, HOLD)).stale == [claim.id]
    assert engine.admit([LIMIT]).wait == 0
    assert count_of(engine) == QueueCounts("q")


def test_a_job_that_asks_is_refused_by_a_hold(engine: Engine, worker: Worker, clock: Clock) -> None:
    engine.hold("stripe", 30 * SECOND)
    park(worker, "a", rules=[LIMIT])
    engine.accept("w1")
    (claim,) = worker.claim(ASK)
    assert claim.asks
    assert engine.admit([LIMIT], ("w1", claim)).held
    worker.end(claim, Park((LIMIT,), 0))
    assert worker.claim(5) == []
    clock.forward(30 * SECOND)
    assert worker.claim(5)[0].admitted


def test_a_claim_is_refused_by_a_hold(engine: Engine, worker: Worker, clock: Clock) -> None:
    first, second = worker.take_all("a", "b")
    assert engine.admit([LIMIT], ("w1", first)).wait == 0
    engine.hold("stripe", 30 * SECOND)
    refused = engine.admit([LIMIT], ("w1", second))
    assert (refused.wait, refused.held) == (30 * SECOND, True)
    clock.forward(30 * SECOND)
    assert engine.admit([LIMIT], ("w1", second)).wait == 0


def test_limits_are_listed_with_their_holds(engine: Engine, worker: Worker, clock: Clock) -> None:
    engine.admit([OTHER])
    engine.admit([LIMIT])
    start = clock.now
    throw(worker, "a")
    park(worker, "b", rules=[LIMIT])
    clock.forward(10 * SECOND)
    rest, hold, own = HOUR - 10 * SECOND, 20 * SECOND, HeldKey("stripe")
    found = {use.rule: use._replace(starts=-1) for use in engine.limits()}
    assert found == {
        OTHER: LimitUse(OTHER, Window(start, 1), 0, rest),
        LIMIT: LimitUse(LIMIT, Window(start, 1), 1, rest, slot_in=hold, hold=hold),
        own: LimitUse(own, Window(0, 0), 1, 0, slot_in=hold, hold=hold),
    }


@pytest.mark.parametrize("how", ["cancel", "move", "purge"])
@pytest.mark.usefixtures("clock")
def test_jobs_that_wait_for_a_hold_can_be_changed(engine: Engine, worker: Worker, how: str) -> None:
    pushed = throw(worker)
    match how:
        case "cancel":
            assert engine.cancel([pushed]) == [pushed]
        case "move":
            assert engine.move([pushed], "other") == [pushed]
            assert worker.claim(queues=["other"])[0].id == pushed
        case "purge":
            assert engine.purge("q") == 1
    assert count_of(engine) == QueueCounts("q")
    assert [use.parked for use in engine.limits()] == [0]


def test_a_key_may_be_any_text(engine: Engine, worker: Worker, clock: Clock) -> None:
    key = "9:ä b:1"
    engine.hold(key, SECOND)
    assert engine.admit([Rule(key, 1, SECOND)]).held
    throw(worker, hold=HoldKey(key, 2 * SECOND))
    assert engine.limits()[0].rule == HeldKey(key)
    clock.forward(2 * SECOND)
    assert worker.claim()[0].body == b"thrower"


def test_ended_holds_are_swept(engine: Engine, clock: Clock) -> None:
    for n in range(30):
        engine.hold(f"k{n}", SECOND)
    engine.hold("stripe", HOUR)
    clock.forward(10 * 60 * SECOND)
    sweep_all(engine, HOUR)
    assert [use.rule.key for use in engine.limits()] == ["stripe"]
    clock.back(10 * 60 * SECOND)  # shows what is still stored
    assert [use.rule.key for use in engine.limits()] == ["stripe"]


@pytest.mark.usefixtures("clock")
def test_a_hold_of_no_time_lets_the_job_go_at_once(engine: Engine, worker: Worker) -> None:
    throw(worker, hold=HoldKey("stripe", 0))
    assert engine.admit([LIMIT]).wait == 0
    assert worker.step(want=1).claims[0].body == b"thrower"


# of jobs that are limited in how many run at once

GATE = Gate("stripe", 1)


def test_a_gate_with_a_held_key_refuses(engine: Engine, worker: Worker, clock: Clock) -> None:
    claim = worker.take("a")
    engine.hold("stripe", 30 * SECOND)
    for rules in ([GATE], [GATE, LIMIT], [GATE._replace(key="other"), LIMIT]):
        refused = engine.admit(rules, ("w1", claim))
        assert (refused.wait, refused.held) == (30 * SECOND, True)
        assert rules[refused.rule].key == "stripe"
        assert refused.until == clock.now + 30 * SECOND
    assert engine.admit([GATE._replace(key="other")], ("w1", claim)).wait == 0
    clock.forward(30 * SECOND)
    assert engine.admit([GATE, LIMIT], ("w1", claim)).wait == 0


def test_jobs_that_wait_for_a_gate_wait_for_the_hold_of_its_key_too(
    engine: Engine, worker: Worker, clock: Clock
) -> None:
    """Although the gate has room; in the hold's own line, so that no worker looks for them."""
    runs = worker.take("runs")
    assert engine.admit([GATE], ("w1", runs)).wait == 0
    park(worker, "a", "b", rules=[GATE])
    engine.hold("stripe", 30 * SECOND)
    worker.end(runs)
    for _ in range(4):
        assert worker.claim(5) == []
    assert {use.rule: use.parked for use in engine.limits()} == {HeldKey("stripe"): 2}
    while engine.wait(["q"], 0):
        assert worker.claim(5) == []
    clock.forward(30 * SECOND)
    claims = worker.claim(1) + worker.claim(1)
    assert [(claim.body, claim.admitted) for claim in claims] == [(b"a", False), (b"b", False)]
    assert engine.admit([GATE], ("w1", claims[0])).wait == 0
    assert not engine.admit([GATE], ("w1", claims[1])).held
    worker.step(*(Settlement(claim, ACK) for claim in claims))


def test_a_gates_job_that_asks_is_refused_by_a_hold(
    engine: Engine, worker: Worker, clock: Clock
) -> None:
    runs = worker.take("runs")
    assert engine.admit([GATE], ("w1", runs)).wait == 0
    park(worker, "a", rules=[GATE])
    engine.accept("w1")
    (claim,) = worker.claim(ASK)
    engine.hold("stripe", 30 * SECOND)
    assert engine.admit([GATE], ("w1", claim)).held
    worker.end(claim, HoldKey("stripe", 0))
    assert worker.claim(5) == []
    clock.forward(30 * SECOND)
    assert worker.claim(5)[0].id == claim.id


def test_what_holds_a_key_for_no_time_ends_no_other_hold(
    engine: Engine, worker: Worker, clock: Clock
) -> None:
    """A job of a gate that a hold refuses, and that parks when the clock has gone back."""
    engine.hold("stripe", HOUR)
    clock.back(10 * SECOND)
    throw(worker, hold=HoldKey("stripe", 0))
    assert engine.hold("stripe", 0) == 0, "it has not begun"
    clock.forward(10 * SECOND)
    assert engine.hold("stripe", 0) == HOUR
