"""Gates: at most so many jobs of a key run at once. A slot is a claim, and ends with it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from poolq.engines.base import Claim, EndedSlots, Engine, QueueCounts, Settlement
from poolq.jobs.limits import GATE_WAIT, Admission, Gate, Rule
from poolq.jobs.message import State
from poolq.jobs.outcomes import (
    ACK,
    DISCARD,
    DONE,
    GIVE_BACK,
    Bury,
    Failing,
    Outcome,
    Park,
    Release,
    ReleaseUntil,
)
from poolq.keeper.limit_watch import LimitWatch
from tests.contract.helpers import (
    HOUR,
    Worker,
    count_of,
    died,
    every_engine,
    full,
    gate,
    named,
    push,
    registration,
    sweep_all,
    total,
    used,
)
from tests.support.clock import Clock

pytestmark = every_engine


def ask(worker: Worker, claim: Claim, *rules: Rule) -> bool:
    """Whether the claimed job may start."""
    answer = worker.engine.admit(rules, (worker.name, claim))
    assert not answer.stale
    assert answer.wait == 0 or not isinstance(rules[answer.rule], Gate) or answer.wait == GATE_WAIT
    return answer.wait == 0


def start(worker: Worker, name: str, *rules: Rule, queue: str = "q") -> Claim:
    """Push a job, claim it and take its slots."""
    push(worker.engine, name, queue=queue)
    (claim,) = worker.claim(1, [queue])
    assert ask(worker, claim, *rules)
    return claim


def park(worker: Worker, *names: str, rules: Sequence[Rule], queue: str = "q") -> list[str]:
    """Push jobs, and park those that their rules refuse."""
    ids = push(worker.engine, *names, queue=queue)
    for claim in worker.claim(len(names), [queue]):
        answer = worker.engine.admit(rules, (worker.name, claim))
        assert answer.wait > 0
        worker.end(claim, Park(tuple(rules), answer.rule))
    return ids


def in_use(engine: Engine) -> dict[str, tuple[int, int, int]]:
    """By key: how many run, how many may, and how many wait."""
    return {
        use.rule.key: (use.window.used, use.rule.limit, use.parked)
        for use in engine.limits()
        if isinstance(use.rule, Gate)
    }


def test_no_more_jobs_of_a_key_start_than_it_allows(engine: Engine, worker: Worker) -> None:
    two = gate(limit=2)
    claims = worker.take_all(*"abcd")
    assert [ask(worker, claim, two) for claim in claims] == [True, True, False, False]
    assert ask(worker, claims[0], two), "a repeated request gets the same answer"
    assert in_use(engine) == {"k": (2, 2, 0)}


ENDS: list[Outcome] = [
    ACK, DONE, DISCARD, GIVE_BACK, Bury(State(1)), Release(0, State(1)), Release(HOUR, State(1)),
    ReleaseUntil(2**52, State(1), Rule("x", 1, HOUR)), Park((Rule("x", 1, HOUR),), 0),
]  # fmt: skip


@pytest.mark.parametrize("outcome", ENDS[1:], ids=lambda one: type(one).__name__)
def test_whatever_ends_the_claim_ends_the_slot(
    engine: Engine, worker: Worker, other_worker: Worker, outcome: Outcome
) -> None:
    claim = start(worker, "a", gate())
    waiting = other_worker.take("b")
    assert not ask(other_worker, waiting, gate())
    worker.end(claim, outcome)
    assert ask(other_worker, waiting, gate())
    assert in_use(engine) == {"k": (1, 1, 0)}


def test_a_failing_job_keeps_its_slot_until_it_is_buried(
    engine: Engine, worker: Worker, other_worker: Worker
) -> None:
    claim = start(worker, "a", gate())
    park(other_worker, "b", rules=[gate()])
    worker.end(claim, Failing(State(1)))
    assert other_worker.claim() == []
    worker.end(claim, Bury(State(1)))
    assert named(other_worker.claim()) == ["b"]


@pytest.mark.parametrize(
    "end", ["crash", "timeout", "cancelled", "returned", "done", "unknown", "reaped"]
)
def test_a_dead_worker_holds_nothing(
    engine: Engine, worker: Worker, other_worker: Worker, end: str
) -> None:
    start(worker, "a", gate())
    park(other_worker, "b", rules=[gate()])
    assert other_worker.claim() == []
    report = died(request=worker.request, finished=int(end == "done"), started=0)
    if end in ("crash", "timeout", "cancelled", "returned"):
        report = report._replace(end=end, delay=HOUR)
    if end == "reaped":
        assert engine.reap("n1", engine.beat("n1", b"{}")["n1"]) is not None
    else:
        engine.recover("w1", None if end == "unknown" else report)
    if end in ("crash", "returned", "unknown", "reaped"):
        assert named(other_worker.claim()) == ["a"], "it was due before"
    (claim,) = other_worker.claim()
    assert (named([claim]), claim.admitted, claim.gated) == (["b"], True, True)
    assert in_use(engine) == {"k": (1, 1, 0)}


def test_a_cancelled_job_holds_its_slot_until_it_ends(
    engine: Engine, worker: Worker, other_worker: Worker
) -> None:
    claim = start(worker, "a", gate())
    park(other_worker, "b", rules=[gate()])
    assert engine.request_cancel([claim.id], 0) == [claim.id]
    assert other_worker.claim() == []
    assert worker.step(Settlement(claim, GIVE_BACK)).stale == [claim.id]
    assert named(other_worker.claim()) == ["b"]
    assert engine.find(claim.id) is None


def test_jobs_that_wait_start_in_their_order(
    engine: Engine, worker: Worker, other_worker: Worker
) -> None:
    claim = start(worker, "a", gate())
    park(other_worker, *"bcd", rules=[gate()])
    order = []
    for _ in range(3):
        assert other_worker.claim() == []
        worker.end(claim, DONE)
        (claim,) = worker.claim()
        assert claim.gated
        order += named([claim])
    assert order == [*"bcd"]
    worker.end(claim, DONE)
    assert count_of(engine) == QueueCounts("q")
    assert in_use(engine) == {}


def test_a_later_job_does_not_overtake_those_that_wait(
    engine: Engine, worker: Worker, other_worker: Worker
) -> None:
    claim = start(worker, "a", gate())
    park(other_worker, "b", rules=[gate()])
    late = other_worker.take("c")
    worker.end(claim, DONE)
    assert not ask(other_worker, late, gate())
    other_worker.end(late, Park((gate(),), 0))
    (claim,) = worker.claim()
    assert named([claim]) == ["b"]


def test_an_earlier_job_is_not_held_up_by_those_that_wait(
    engine: Engine, worker: Worker, other_worker: Worker
) -> None:
    first = worker.take("first")
    claim = start(other_worker, "a", gate())
    park(other_worker, "b", rules=[gate()])
    other_worker.end(claim, DONE)
    assert ask(worker, first, gate())
    assert other_worker.claim() == []


def test_all_slots_or_none(engine: Engine, worker: Worker, clock: object) -> None:
    used_up = full(engine, "mail", HOUR)
    a, b = worker.take_all("a", "b")
    assert not ask(worker, a, gate(), used_up)
    assert in_use(engine) == {}
    assert ask(worker, b, gate()), "the first one has taken nothing"
    free = Rule("free", 5, HOUR)
    assert not ask(worker, a, gate(), free)
    assert [use.rule.key for use in engine.limits() if use.window.used] == ["k", "mail"]
    assert not ask(worker, a, gate("x"), gate())
    assert in_use(engine) == {"k": (1, 1, 0)}


def test_a_gate_is_asked_before_a_window(engine: Engine, worker: Worker) -> None:
    used_up = full(engine, "mail", HOUR)
    start(worker, "a", gate())
    claim = worker.take("b")
    answer = engine.admit([used_up, gate()], ("w1", claim))
    assert (answer.wait, answer.rule, answer.until) == (GATE_WAIT, 1, 0)


def test_a_job_parked_at_a_gate_waits_for_its_window_too(
    engine: Engine, worker: Worker, other_worker: Worker
) -> None:
    used_up = full(engine, "mail", HOUR)
    claim = start(worker, "a", gate())
    park(other_worker, "b", rules=[used_up, gate()])
    park(other_worker, "c", rules=[gate()])
    worker.end(claim, DONE)
    found = [one for _ in range(3) for one in named(other_worker.claim())]
    assert found == ["c"], "the head waits for its window, and holds up nobody"
    assert {use.rule.key: use.parked for use in engine.limits()}["mail"] == 1


def test_a_job_parked_at_a_window_waits_for_its_gate_too(
    engine: Engine, worker: Worker, other_worker: Worker
) -> None:
    window = Rule("mail", 5, HOUR)
    claim = start(worker, "a", gate())
    b = other_worker.take("b")
    other_worker.end(b, Park((window, gate()), 0))
    assert [other_worker.claim() for _ in range(3)] == [[], [], []]
    assert in_use(engine) == {"k": (1, 1, 1)}
    worker.end(claim, DONE)
    assert named(other_worker.claim()) == ["b"]
    assert used(engine) == {"k": 1, "mail": 1}


def test_the_latest_limit_counts_for_all_that_wait(
    engine: Engine, worker: Worker, other_worker: Worker
) -> None:
    start(worker, "a", gate())
    park(other_worker, *"bcd", rules=[gate()])
    assert other_worker.claim() == []
    claim = worker.take("e")
    assert not ask(worker, claim, gate(limit=3)), "earlier jobs wait"
    worker.end(claim, Park((gate(limit=3),), 0))
    assert named([*other_worker.claim(), *other_worker.claim(), *other_worker.claim()]) == [
        "b",
        "c",
    ]
    assert in_use(engine) == {"k": (3, 3, 2)}


def test_a_lower_limit_starts_nothing_until_enough_have_ended(
    engine: Engine, worker: Worker, other_worker: Worker
) -> None:
    claims = [start(worker, name, gate(limit=3)) for name in "abc"]
    park(other_worker, "d", rules=[gate(limit=1)])
    for claim in claims[:2]:
        worker.end(claim, DONE)
        assert other_worker.claim() == []
    worker.end(claims[2], DONE)
    assert named(other_worker.claim()) == ["d"]


@pytest.mark.parametrize("comes_last", [False, True])
def test_a_claim_that_has_its_start_is_admitted_without_a_slot(
    engine: Engine, worker: Worker, other_worker: Worker, comes_last: bool
) -> None:
    """It was granted a start under the limit that its code named when it parked."""
    mail = Rule("mail", 1, HOUR)
    (pushed,) = push(engine, "b")
    other_worker.end(other_worker.claim()[0], Park((mail,), 0))
    (claim,) = other_worker.claim()
    assert (claim.id, claim.admitted, claim.gated) == (pushed, True, False)
    last = start(other_worker if comes_last else worker, "a", gate())
    ended = [EndedSlots(last, [gate()])] if comes_last else []
    assert engine.admit([gate()], ("w2", claim), ended) == Admission(0)
    assert in_use(engine) == ({} if comes_last else {"k": (1, 1, 0)})


def test_a_granted_job_that_is_given_back_asks_again(
    engine: Engine, worker: Worker, other_worker: Worker
) -> None:
    rules = gate(), Rule("mail", 5, HOUR)
    claim = start(worker, "a", *rules)
    park(other_worker, *"bcd", rules=rules)
    worker.end(claim, DONE)
    (claim,) = worker.claim()
    assert (named([claim]), claim.gated) == (["b"], True)
    worker.end(claim, GIVE_BACK)
    (again,) = other_worker.claim()
    assert (named([again]), again.admitted, again.gated) == (["c"], True, True)
    (claim,) = worker.claim()
    assert (named([claim]), claim.admitted, claim.gated) == (["b"], False, False)
    assert not ask(worker, claim, *rules)
    worker.end(claim, Park(rules, 0))
    other_worker.end(again, DONE)
    assert named(worker.claim()) == ["b"], "it comes first again"


def test_a_repeated_step_tells_again_that_the_job_has_a_slot(
    engine: Engine, worker: Worker, other_worker: Worker
) -> None:
    claim = start(worker, "a", gate())
    park(other_worker, "b", rules=[gate()])
    worker.end(claim, DONE)
    first = other_worker.step(want=1)
    assert first.claims[0].gated
    assert other_worker.again(want=1).claims == first.claims
    assert in_use(engine) == {"k": (1, 1, 0)}


def test_a_stale_claim_takes_no_slot(engine: Engine, worker: Worker, other_worker: Worker) -> None:
    claim = worker.take("a")
    engine.recover("w1", died(request=worker.request))
    (again,) = other_worker.claim()
    engine.register(registration("w1", "n1"))
    assert engine.admit([gate()], ("w1", claim)).stale
    assert ask(other_worker, again, gate())


@pytest.mark.parametrize("ready", ["a", "q"])
@pytest.mark.parametrize("queues", [["a", "q"], ["q", "a"], None])
def test_a_slot_that_a_step_frees_while_it_claims_is_for_whoever_comes_next(
    engine: Engine,
    worker: Worker,
    other_worker: Worker,
    other: Engine,
    queues: list[str] | None,
    ready: str,
) -> None:
    claim = start(worker, "holder", gate())
    park(other_worker, "parked", rules=[gate()])
    push(engine, "ready", queue=ready)
    while other.wait(queues, 0):
        pass
    claimed = named(worker.step(Settlement(claim, DONE), want=1, queues=queues).claims)
    assert claimed in (["parked"], ["ready"])
    assert other.wait(queues, 5) > 0
    assert {*claimed, *named(other_worker.claim(1, queues))} == {"parked", "ready"}


def test_a_lifted_hold_lets_no_job_into_a_full_gate(
    engine: Engine, worker: Worker, other_worker: Worker
) -> None:
    claim = start(worker, "a", gate())
    park(other_worker, "b", rules=[gate()])
    while engine.wait(["q"], 0):
        assert other_worker.claim() == []
    engine.hold("k", HOUR)
    assert engine.lift("k")
    assert engine.wait(["q"], 0) == 0
    assert other_worker.claim() == []
    worker.end(claim, DONE)
    assert named(other_worker.claim()) == ["b"]


def test_a_job_that_waits_may_be_cancelled_moved_and_purged(
    engine: Engine, worker: Worker, other_worker: Worker
) -> None:
    claim = start(worker, "a", gate())
    b, c, _ = park(other_worker, *"bcd", rules=[gate()])
    assert engine.cancel([b]) == [b]
    assert engine.move([c], "r") == [c]
    assert engine.purge("q") == 1
    assert count_of(engine, "r").ready == 1
    worker.end(claim, DONE)
    assert other_worker.claim() == []
    assert in_use(engine) == {}


def test_the_latest_limit_holds_for_as_long_as_jobs_wait(
    engine: Engine, worker: Worker, other_worker: Worker, clock: Clock
) -> None:
    before = [start(worker, "a", gate(), queue="q")]
    park(other_worker, "b", "c", rules=[gate()], queue="r")
    before.append(start(worker, "d", gate(limit=2), queue="q"))
    for claim in before:
        worker.end(claim, DONE)
    clock.forward(HOUR)
    sweep_all(engine, HOUR)  # the slots
    clock.forward(HOUR)
    sweep_all(engine, 2 * HOUR)  # and what is left of the key
    assert in_use(engine) == {"k": (0, 2, 2)}
    assert named(other_worker.claim(1, ["r"]) + other_worker.claim(1, ["r"])) == ["b", "c"]
    assert in_use(engine) == {"k": (2, 2, 0)}


def test_a_gate_whose_jobs_come_and_go_keeps_its_room(engine: Engine, worker: Worker) -> None:
    for number in range(50):
        worker.end(start(worker, f"{number}", gate()), DONE)
    start(worker, "last", gate())
    assert in_use(engine) == {"k": (1, 1, 0)}
    (use,) = engine.limits()
    assert use.starts == 51


def test_a_keeper_that_sees_a_gate_late_counts_the_starts_of_ended_jobs(
    engine: Engine, worker: Worker, other_worker: Worker
) -> None:
    """They are counted while any job runs under the key or waits for it."""
    start(other_worker, "long", gate(limit=2))
    for number in range(3):
        worker.end(start(worker, f"{number}", gate(limit=2)), DONE)
    start(worker, "last", gate(limit=2))
    (found,), _ = LimitWatch().observe(1.0, engine.limits(), {}, 9)
    assert (found.used, found.starts_total) == (2, 5)


def test_a_later_claim_with_the_same_number_has_not_its_slot(
    engine: Engine, worker: Worker, other_worker: Worker
) -> None:
    claim = start(worker, "a", gate())
    engine.recover("w1", died(request=worker.request))
    (again,) = other_worker.claim()
    assert (again.id, again.request, again.index) == (claim.id, claim.request, claim.index)
    assert in_use(engine) == {}
    assert ask(other_worker, again, gate())


def next_asks(worker: Worker, ended: Claim, asking: Claim, *rules: Rule) -> bool:
    """Whether a job may start whose worker has just ended another one under the same rules."""
    answer = worker.engine.admit(rules, (worker.name, asking), [EndedSlots(ended, rules)])
    assert not answer.stale
    return answer.wait == 0


@pytest.mark.parametrize("rules", [[gate()], [gate(), gate("x")], [gate(), Rule("mail", 5, HOUR)]])
def test_the_next_job_of_a_worker_frees_the_slot_of_the_one_before(
    engine: Engine, worker: Worker, rules: list[Rule]
) -> None:
    a, b, c = worker.take_all(*"abc")
    assert ask(worker, a, *rules)
    assert not ask(worker, b, *rules)
    assert next_asks(worker, a, b, *rules)
    assert next_asks(worker, a, b, *rules), "a repeated request gets the same answer"
    assert in_use(engine)["k"] == (1, 1, 0)
    assert not ask(worker, c, *rules), "only the job named has ended"
    assert worker.step(Settlement(a, DONE), Settlement(b, DONE)).stale == []
    assert ask(worker, c, *rules)
    assert total(engine, "done") == 2


@pytest.mark.parametrize("key", ["k", "x"])
def test_a_slot_that_the_next_job_frees_goes_to_those_who_wait(
    engine: Engine, worker: Worker, other_worker: Worker, key: str
) -> None:
    """The next job waits behind them, or starts if it asks for a slot of another key."""
    a = worker.take("a")
    assert ask(worker, a, gate())
    park(other_worker, "b", rules=[gate()])
    c = worker.take("c")
    while engine.wait(["q"], 0):
        assert other_worker.claim() == []
    answer = engine.admit([gate(key)], ("w1", c), [EndedSlots(a, [gate()])])
    assert (answer.wait == 0) == (key == "x")
    assert engine.wait(["q"], 5) > 0, "a keeper hears of the free slot"
    assert named(other_worker.claim()) == ["b"]
    assert in_use(engine) == {"k": (1, 1, 0)} | ({"x": (1, 1, 0)} if key == "x" else {})
    end = DONE if key == "x" else Park((gate(),), 0)
    assert worker.step(Settlement(a, DONE), Settlement(c, end)).stale == []


def test_the_next_job_frees_the_slots_of_other_keys_too(
    engine: Engine, worker: Worker, other_worker: Worker
) -> None:
    a, b, c = worker.take_all(*"abc")
    assert ask(worker, a, gate())
    assert worker.engine.admit([gate("x")], ("w1", b), [EndedSlots(a, [gate()])]).wait == 0
    assert in_use(engine) == {"x": (1, 1, 0)}
    d = other_worker.take("d")
    assert ask(other_worker, d, gate())
    answer = engine.admit([gate()], ("w1", c), [EndedSlots(b, [gate("x")])])
    assert answer.wait > 0, "the slot of k belongs to another worker"
    assert in_use(engine) == {"k": (1, 1, 0)}


def test_a_worker_frees_no_slot_of_a_later_claim(
    engine: Engine, worker: Worker, other_worker: Worker
) -> None:
    claim = start(worker, "a", gate())
    engine.recover("w1", died(request=worker.request))
    (again,) = other_worker.claim()
    assert ask(other_worker, again, gate())
    engine.register(registration("w1", "n1"))
    push(engine, "b")
    (b,) = Worker(engine, "w3", "n1").claim()
    answer = engine.admit([gate()], ("w3", b), [EndedSlots(claim, [gate()])])
    assert answer.wait > 0, "it does not have that claim"
    assert in_use(engine) == {"k": (1, 1, 0)}


@pytest.mark.parametrize("finished", [1, 0])
def test_a_worker_that_dies_after_its_next_job_has_started(
    engine: Engine, worker: Worker, other_worker: Worker, finished: int
) -> None:
    """Its scoreboard tells whether the job before was done, whose slot is free already."""
    a, b = worker.take_all("a", "b")
    assert ask(worker, a, gate())
    assert next_asks(worker, a, b, gate())
    recovered = engine.recover("w1", died(worker.request, finished=finished, started=1))
    assert recovered.done == (a.id,)[:finished]
    assert recovered.returned == (a.id,)[finished:]
    assert recovered.crashed == (b.id,)
    assert in_use(engine) == {}
    assert named(other_worker.claim(2)) == ["a", "b"][finished:]
