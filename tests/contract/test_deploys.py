"""The newest code's number counts: it is asked again for the limits of parked jobs."""

from __future__ import annotations

import pytest

from poolq.engines.base import ASK, Claim, Engine, Push, Settlement
from poolq.errors import Fenced
from poolq.jobs.limits import Gate, Rule
from poolq.jobs.message import State
from poolq.jobs.outcomes import ACK, GIVE_BACK, HoldKey, Park, ReleaseUntil
from tests.contract.helpers import HOUR, SECOND, Worker, full, named, new_id, park, push, stored
from tests.support.clock import Clock


@pytest.fixture
def old(engine: Engine) -> Worker:
    """A worker whose code was accepted first."""
    return deployed(engine, "w1", "n1")


def deployed(engine: Engine, name: str = "w2", node: str = "n2", deploy: int = 0) -> Worker:
    worker = Worker(engine, name, node)
    engine.accept(name, deploy)
    return worker


def asking(worker: Worker, want: int = ASK) -> Claim:
    """The next claim, which must be one that asks for a start."""
    (claim,) = worker.claim(want)
    assert (claim.asks > 0, claim.admitted) == (True, False)
    return claim


def ask(worker: Worker, *rules: Rule, want: int = ASK) -> int:
    """Let the next head ask under these rules, and end or park it. Returns for how long to wait."""
    claim = asking(worker, want)
    admission = worker.engine.admit(rules, (worker.name, claim))
    worker.end(claim, Park(rules, admission.rule) if admission.wait else ACK)
    return admission.wait


def test_deploys_are_numbered_as_they_are_accepted(engine: Engine, clock: Clock) -> None:
    for name in ("w1", "w2", "w3"):
        Worker(engine, name, "n1")
    first, second = engine.accept("w1"), engine.accept("w2")
    clock.back(HOUR)
    assert first < second < engine.accept("w3")
    assert engine.accept("w3", first) == first


def test_a_raised_limit_drains_the_line(engine: Engine, old: Worker) -> None:
    park(old, "a", "b", "c", rules=[full(engine)])
    new = deployed(engine)
    assert new.claim() == [], "it is not due"
    assert ask(new, Rule("mail", 3, HOUR)) == 0
    (second,) = new.claim()
    assert (second.body, second.admitted, second.asks) == (b"b", True, 0)
    assert new.claim() == new.claim(ASK) == []
    assert [(use.rule.limit, use.window.used, use.parked) for use in engine.limits()] == [(3, 3, 1)]


def test_a_line_that_is_due_asks_when_it_is_served(engine: Engine, old: Worker) -> None:
    park(old, "a", "b", "c", rules=[Rule("k", 9, HOUR)])
    new = deployed(engine)
    low = Rule("k", 1, HOUR)
    assert ask(new, low, want=1) == 0
    assert new.claim() == []
    assert [(use.rule, use.parked) for use in engine.limits()] == [(low, 2)]


def test_a_job_that_parks_again_was_asked(engine: Engine, old: Worker) -> None:
    rule = full(engine)
    park(old, "a", "b", rules=[rule])
    new = deployed(engine)
    assert ask(new, rule) > 0
    assert new.claim() == new.claim(ASK) == []
    assert [(use.rule, use.parked) for use in engine.limits()] == [(rule, 2)]


def test_a_removed_limit_empties_the_line(engine: Engine, old: Worker) -> None:
    park(old, "a", "b", "c", rules=[full(engine)])
    new = deployed(engine)
    names = []
    for _ in range(3):
        claim = asking(new)
        names.append(claim.body.decode())
        new.end(claim, ACK)
    assert names == ["a", "b", "c"]
    assert new.claim(ASK) == []


def test_a_job_whose_key_has_changed_leaves_the_next_to_be_asked(
    engine: Engine, old: Worker
) -> None:
    park(old, "a", "b", rules=[full(engine)])
    new = deployed(engine)
    for _ in "ab":
        assert ask(new, Rule("new", 9, HOUR)) == 0
    assert new.claim(ASK) == []


def test_who_gives_a_head_back_leaves_the_next_to_be_asked(engine: Engine, old: Worker) -> None:
    (first, _) = park(old, "a", "b", rules=[full(engine)])
    new = deployed(engine)
    new.end(asking(new), GIVE_BACK)
    assert stored(engine, first).status == "ready"
    assert asking(new).body == b"b"
    assert [(claim.body, claim.asks) for claim in new.claim()] == [(b"a", 0)]


def test_a_dead_worker_leaves_the_next_to_be_asked(engine: Engine, old: Worker) -> None:
    park(old, "a", "b", rules=[full(engine)])
    asking(deployed(engine))
    engine.recover("w2", None)
    assert asking(deployed(engine, "w3")).body == b"b"


def test_older_code_goes_on_by_the_number_of_the_line(engine: Engine, old: Worker) -> None:
    """Whatever it names itself; this is how workers of two pools with different code agree."""
    rule = Rule("k", 2, HOUR)
    park(old, "a", "b", "c", "e", rules=[rule])
    assert named(old.claim()) == ["a"]
    new = deployed(engine)
    assert ask(new, rule._replace(limit=3), want=1) == 0
    push(engine, "d")
    (late,) = old.claim(1)
    assert (late.body, late.admitted) == (b"c", True), "the third start"
    (last,) = old.claim(1)
    old.end(last, Park((rule,), 0))
    assert [(use.rule.limit, use.parked) for use in engine.limits()] == [(3, 2)]


@pytest.mark.parametrize("second", [Rule("wide", 1, HOUR), Gate("gate", 1)])
def test_all_limits_of_a_job_are_those_of_the_new_code(
    engine: Engine, old: Worker, second: Rule
) -> None:
    """Not only the one in whose line it waits."""
    first = Rule("own", 20, HOUR)
    park(old, *(f"a{n}" for n in range(8)), rules=[first, second._replace(limit=12)])
    new, started = deployed(engine), 0
    for _ in range(40):
        claims = new.claim(4)
        for claim in claims:
            assert not claim.admitted or not claim.asks
            rules = (first, second)
            admission = engine.admit(rules, ("w2", claim)) if not claim.admitted else None
            if admission is not None and admission.wait:
                new.end(claim, Park(rules, admission.rule))
            else:
                started += 1
        if not claims:
            break
    assert started == 1
    assert new.claim(ASK) == []


@pytest.mark.parametrize("others", [(), (Rule("wide", 99, HOUR),)])
def test_older_code_does_not_bring_a_gates_number_back(
    engine: Engine, old: Worker, others: tuple[Rule, ...]
) -> None:
    two, four = (Gate("k", limit) for limit in (2, 4))
    new = deployed(engine)
    push(engine, *"abcdefg")

    def start(worker: Worker, rule: Rule) -> int:
        (claim,) = worker.claim()
        return engine.admit([rule, *others], (worker.name, claim)).wait

    assert start(old, two) == 0
    assert [start(new, four), start(old, two), start(old, two)] == [0, 0, 0]
    assert start(old, two) > 0
    assert start(new, four) > 0
    assert {use.rule.limit for use in engine.limits()} == {4, *(99 for _ in others)}
    third = deployed(engine, "w3", "n3")
    assert start(third, four._replace(limit=5)) == 0


def test_a_later_deploy_asks_again(engine: Engine, old: Worker) -> None:
    rule = full(engine)
    park(old, "a", "b", rules=[rule])
    second = deployed(engine)
    assert ask(second, rule) > 0
    third = deployed(engine, "w3", "n3")
    assert second.claim(ASK) == old.claim(ASK) == []
    assert ask(third, rule) > 0
    assert third.claim(ASK) == []


def test_all_workers_of_a_deploy_are_one(engine: Engine, old: Worker) -> None:
    rule = full(engine)
    park(old, "a", rules=[rule])
    deploy = engine.accept("w1")
    assert ask(old, rule) > 0
    assert deployed(engine, deploy=deploy).claim(ASK) == []


def test_other_workers_find_other_lines(engine: Engine, old: Worker, clock: Clock) -> None:
    for key in ("k1", "k2"):
        park(old, f"{key} a", f"{key} b", rules=[full(engine, key)])
    clock.back(HOUR)  # so that deploys have numbers one after the other
    deploy = engine.accept("w1")
    new = deployed(engine, deploy=deploy)
    assert named([asking(old), asking(new)]) == ["k1 a", "k2 a"]
    assert {asking(old).body, asking(new).body} == {b"k1 b", b"k2 b"}, "nobody has answered yet"
    assert new.claim(ASK) == []


def test_many_lines_ask_in_one_step_or_a_few(engine: Engine, old: Worker) -> None:
    push(engine, *map(str, range(6)))
    for claim in old.claim(6):
        old.end(claim, Park((Rule(f"k{claim.body.decode()}", 9, HOUR),), 0))
    new, found = deployed(engine), list[Claim]()
    while claims := new.claim(9):
        found += claims
    assert sorted(named(found)) == [str(number) for number in range(6)]
    assert all(claim.asks and not claim.admitted for claim in found)


def test_only_these_queues_are_asked(engine: Engine, old: Worker) -> None:
    rule = full(engine)
    park(old, "a", rules=[rule])
    push(engine, "r", queue="r")
    old.end(old.claim(1, ["r"])[0], Park((rule,), 0))
    new = deployed(engine)
    assert named(new.claim(ASK, ["r"])) == ["r"]
    assert new.claim(ASK, ["r"]) == []
    assert named(new.claim(ASK, None)) == ["a"]


def test_a_paused_queue_is_asked_when_it_is_resumed(engine: Engine, old: Worker) -> None:
    park(old, "a", rules=[full(engine)])
    engine.pause("q")
    new = deployed(engine)
    assert new.claim(ASK) == new.claim(ASK, None) == []
    engine.resume("q")
    assert asking(new).body == b"a"


def test_a_released_jobs_line_and_a_holds_line_are_not_asked(
    engine: Engine, old: Worker, clock: Clock
) -> None:
    first, second = old.take_all("a", "b")
    released = ReleaseUntil(clock.now + HOUR, State(1), Rule("mail", 1, HOUR))
    old.step(Settlement(first, released), Settlement(second, HoldKey("k", SECOND)))
    assert deployed(engine).claim(ASK) == []


def test_a_repeated_step_returns_the_same_job(engine: Engine, old: Worker) -> None:
    park(old, "a", rules=[full(engine)])
    new = deployed(engine)
    claim = asking(new)
    (again,) = new.again(want=ASK).claims
    assert (again[:3], again.admitted) == (claim[:3], False)


def test_what_a_dispatch_parks_counts_as_named_by_the_newest_code(
    engine: Engine, old: Worker
) -> None:
    rule = Gate("k", 1)
    engine.push([Push(new_id(), "q", b"a", gate=rule)])
    (claim,) = old.claim()
    assert (claim.admitted, claim.asks) == (True, 0)


def test_an_unregistered_worker_is_fenced(engine: Engine) -> None:
    with pytest.raises(Fenced):
        engine.accept("ghost")
