"""A worker that runs job after job of a key goes on with its slot, as far as others allow it."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event, Lock

import pytest

from poolq.engines.base import Claim, EndedSlots, Engine, LimitUse, Settlement
from poolq.errors import Fenced
from poolq.jobs.limits import Admission, Rule
from poolq.jobs.message import State
from poolq.jobs.outcomes import DONE, GIVE_BACK, Bury, HoldKey, Outcome, Park, Release
from tests.contract.conftest import OpenEngine
from tests.contract.helpers import HOUR, SECOND, Worker, died, gate, push, sweep_all

#: So many jobs in a row are enough for a slot to be handed on.
MANY = 5


class Run:
    """A worker that runs the jobs that it has claimed, one after the other. `last`: the one before,
    which it has not settled yet."""

    def __init__(self, worker: Worker, rule: Rule) -> None:
        self.worker, self.rule = worker, rule
        self.last: EndedSlots | None = None

    def ask(self, claim: Claim, rule: Rule | None = None) -> Admission:
        """Ask for a start of the next job, which ends at once."""
        rule = rule or self.rule
        ended = [self.last] if self.last else []
        answer = self.worker.engine.admit([rule], (self.worker.name, claim), ended)
        if not answer.wait and not answer.stale:
            self.last = EndedSlots(claim, [rule])
        else:
            self.last = None
        return answer

    def through(self, claims: list[Claim]) -> None:
        for claim in claims:
            assert self.ask(claim) == Admission(0)


@pytest.fixture
def run(worker: Worker) -> Run:
    return Run(worker, gate())


@pytest.fixture
def claims(engine: Engine, worker: Worker, run: Run) -> Iterator[list[Claim]]:
    """More claims of a worker that has run MANY."""
    push(engine, *map(str, range(MANY + 3)))
    found = worker.claim(MANY + 3)
    run.through(found[:MANY])
    yield found[MANY:]
    assert all(use.window.used <= use.rule.limit for use in engine.limits())


def use_of(engine: Engine, key: str = "k") -> LimitUse:
    (found,) = [use for use in engine.limits() if use.rule.key == key]
    return found


def test_each_job_counts_and_the_last_one_has_the_slot(
    engine: Engine, worker: Worker, run: Run, claims: list[Claim]
) -> None:
    use = use_of(engine)
    assert (use.window.used, use.starts) == (1, MANY)
    run.through(claims)
    assert use_of(engine).starts == MANY + 3
    engine.sweep(10_000 * HOUR)
    assert use_of(engine).starts == MANY + 3
    assert run.last is not None
    worker.end(run.last.claim, DONE)
    assert engine.limits() == []


def test_the_slot_is_handed_on_after_its_job_was_settled_too(
    engine: Engine, worker: Worker, run: Run, claims: list[Claim], other_worker: Worker
) -> None:
    for claim in claims:
        assert run.last is not None
        worker.end(run.last.claim, DONE)
        run.last = None
        run.through([claim])
    other = other_worker.take("other")
    assert Run(other_worker, gate()).ask(other).wait > 0
    assert use_of(engine).window.used == 1


def test_starts_that_were_counted_stay_counted_when_the_row_goes(
    engine: Engine, worker: Worker, run: Run, claims: list[Claim], other_worker: Worker
) -> None:
    """A row of an ended claim is deleted by a keeper, or by a job that needs its room."""
    assert run.last is not None
    worker.end(run.last.claim, DONE)
    sweep_all(engine, 10_000 * HOUR)
    run.last = None
    run.through(claims[:1])
    use = use_of(engine)
    assert (use.window.used, use.starts) == (1, MANY + 1)
    run.through(claims[1:2])
    assert run.ask(claims[2], gate(limit=2)).wait == 0
    assert use_of(engine).starts == MANY + 3


def test_a_key_that_was_left_for_another_keeps_the_count_of_its_starts(
    engine: Engine, run: Run, claims: list[Claim]
) -> None:
    """Until a keeper forgets it."""
    assert run.ask(claims[0], gate("x")).wait == 0
    assert run.ask(claims[1]).wait == 0
    assert [use.rule.key for use in engine.limits() if use.window.used] == ["k"]
    assert use_of(engine).starts == MANY + 1


def test_a_slot_that_others_have_taken_since_is_not_handed_on(
    engine: Engine, worker: Worker, other_worker: Worker
) -> None:
    run, other = Run(worker, gate(limit=2)), Run(other_worker, gate(limit=2))
    push(engine, *map(str, range(2 * MANY)))
    for one in (run, other):
        one.through(one.worker.claim(MANY))
    assert run.last is not None
    worker.end(run.last.claim, DONE)
    run.last = None
    third = Worker(engine, "w3", "n3")
    push(engine, *"abc")
    Run(third, gate(limit=2)).through(third.claim())
    (claim,) = worker.claim()
    assert run.ask(claim).wait > 0
    assert use_of(engine).window.used == 2


@pytest.mark.parametrize("outcome", [DONE, Bury(State(1), 0), Release(HOUR, State(1))])
def test_a_job_that_begins_to_wait_sees_what_ends_in_the_same_step(
    engine: Engine, worker: Worker, run: Run, claims: list[Claim], other_worker: Worker,
    outcome: Outcome,
) -> None:  # fmt: skip
    """It parks without having asked, as code does that a reload has replaced."""
    waiting, *others = claims
    assert run.last is not None
    parking = [Settlement(claim, Park((gate(),), 0)) for claim in (waiting, others[0])]
    ends = Settlement(run.last.claim, outcome)
    worker.step(parking[0], ends, parking[1], want=1, queues=["empty"])
    assert engine.wait(["q"], 5) > 0
    assert [claim.id for claim in other_worker.claim(5)] == [waiting.id]
    worker.step(Settlement(others[1], GIVE_BACK))
    assert use_of(engine).window.used == 1


def test_a_job_that_parks_under_the_gate_that_it_has_entered_leaves_it(
    engine: Engine, run: Run, claims: list[Claim], other_worker: Worker
) -> None:
    assert run.last is not None
    leaves = Settlement(run.last.claim, HoldKey("x", SECOND, Park((gate(),), 0)))
    run.worker.step(leaves, want=1, queues=["empty"])
    assert engine.wait(["q"], 5) > 0
    assert [claim.id for claim in other_worker.claim(5)] == [run.last.claim.id]
    run.worker.step(*(Settlement(claim, Park((gate(),), 0)) for claim in claims))
    assert other_worker.claim(5) == []
    assert use_of(engine).window.used == 1


def test_a_worker_with_slots_of_two_keys_frees_each(
    engine: Engine, worker: Worker, other_worker: Worker
) -> None:
    for first in (0, 1):
        push(engine, *"abcd")
        a, b = worker.claim(2)
        for claim, key in ((a, "k"), (b, "x")):
            assert engine.admit([gate(key=key)], (worker.name, claim)) == Admission(0)
        c, d = other_worker.claim(2)
        for claim, key in ((c, "k"), (d, "x")):
            assert engine.admit([gate(key=key)], (other_worker.name, claim)).wait > 0
        for one in (first, 1 - first):
            worker.end((a, b)[one], DONE)
            rule = gate(key="kx"[one])
            assert engine.admit([rule], (other_worker.name, (c, d)[one])) == Admission(0)
        for claim in (c, d):
            other_worker.end(claim, DONE)
    assert engine.limits() == []


def test_a_lower_limit_counts_at_once(engine: Engine, worker: Worker, other_worker: Worker) -> None:
    wide, run, other = gate(limit=2), Run(worker, gate(limit=2)), Run(other_worker, gate(limit=2))
    push(engine, *map(str, range(2 * MANY)))
    for one in (run, other):
        one.through(one.worker.claim(MANY))
    assert use_of(engine).window.used == 2
    push(engine, *"ab")
    (a,), (b,) = worker.claim(), other_worker.claim()
    assert run.ask(a, gate(limit=1)).wait > 0, "two have a slot, of which only one has ended"
    assert other.ask(b, wide).wait == 0
    assert use_of(engine).window.used == 1


def test_a_hold_counts_at_once(
    engine: Engine, worker: Worker, run: Run, claims: list[Claim]
) -> None:
    engine.hold("k", 60 * SECOND)
    assert run.ask(claims[0]).held
    assert engine.lift("k")
    run.through(claims[1:])


def test_it_is_no_way_to_a_second_slot(
    engine: Engine, worker: Worker, run: Run, claims: list[Claim], other_worker: Worker
) -> None:
    """The one before has not ended."""
    a, b, c = claims
    assert run.ask(a).wait == 0
    run.last = None
    assert run.ask(b).wait > 0
    worker.step(Settlement(b, Park((gate(),), 0)))
    assert run.ask(c).wait > 0
    worker.end(a, Release(0, State(1)))
    worker.end(c, Park((gate(),), 0))
    assert [claim.gated for claim in other_worker.claim(1)] == [True]
    assert use_of(engine).window.used == 1


def test_a_claim_that_is_gone_is_handed_nothing(
    engine: Engine, worker: Worker, run: Run, claims: list[Claim], other_worker: Worker
) -> None:
    engine.recover("w1", died(request=worker.request))
    with pytest.raises(Fenced):
        run.ask(claims[0])
    found = other_worker.claim(20)
    Run(other_worker, gate()).through(found[:2])
    assert use_of(engine).window.used == 1


def test_workers_that_hand_on_their_slots_are_never_too_many(
    engine: Engine, opened: OpenEngine
) -> None:
    """Three workers, and slots for two. Those that are refused park, and are granted a slot."""
    most, many = 2, 3 * 16
    running: set[str] = set()
    done: set[str] = set()
    lock, ended = Lock(), Event()
    ids = push(engine, *map(str, range(many)))

    def begin(id_: str) -> None:
        with lock:
            running.add(id_)
            assert len(running) <= most

    def end(id_: str) -> None:
        with lock:
            running.discard(id_)
            done.add(id_)

    def work(name: str) -> int:
        try:
            return work_on(name)
        finally:
            ended.set()  # should it fail, nobody is to wait for its jobs

    def work_on(name: str) -> int:
        run = Run(Worker(opened(engine.url, engine.namespace), name, f"n-{name}"), gate(limit=most))
        handed = 0
        settlements: list[Settlement] = []
        while len(done) < many and not ended.is_set():
            found = run.worker.step(*settlements, want=4).claims
            settlements, run.last = [], None
            for claim in found:
                if not claim.gated and run.ask(claim).wait:
                    settlements.append(Settlement(claim, Park((gate(limit=most),), 0)))
                    continue
                begin(claim.id)
                end(claim.id)
                handed += run.last is not None
                settlements.append(Settlement(claim, DONE))
        run.worker.step(*settlements)
        return handed

    with ThreadPoolExecutor(3) as threads:
        counts = list(threads.map(work, ("a", "b", "c")))
    assert sum(counts) > 0
    assert done == set(ids)
    assert engine.limits() == []
