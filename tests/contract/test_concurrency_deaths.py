"""Deaths amid what is done with gates: no job is lost, none waits for ever, and never do more jobs
of a key run than it allows."""

from __future__ import annotations

from functools import partial

import pytest

from poolq.engines.base import Claim, EndedSlots, Engine, Push, QueueCounts, Settlement
from poolq.jobs.limits import Gate, Rule
from poolq.jobs.outcomes import DONE, Park
from tests.contract.deaths import Mortal
from tests.contract.helpers import Worker, count_of, died, named, new_id, used

pytestmark = pytest.mark.timeout(900)

GATE, OTHER = Gate("k", 1), Gate("other", 1)


def parked(*names: str, rule: Rule = GATE) -> list[Push]:
    return [Push(new_id(), "q", name.encode(), gate=rule) for name in names]


class Survivors:
    """Two workers that run one job at a time each, all under GATE but for those that were parked
    under another."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.idle = [Worker(engine, f"heir-{new_id()}", "n2") for _ in range(2)]
        self.busy: list[tuple[Worker, Claim]] = []

    def work_off(self, jobs: int) -> list[str]:
        """Run so many jobs, which is all there is. A keeper must hear of them. Returns their
        names."""
        assert jobs == 0 or self.engine.wait(["q"], 5) > 0
        done: list[str] = []
        for _ in range(3 * jobs):  # one round may only move jobs
            if len(done) == jobs:
                break
            self._start()
            assert max(used(self.engine).values(), default=0) <= 1
            if self.busy:
                worker, claim = self.busy.pop(0)
                worker.end(claim, DONE)
                self.idle.append(worker)
                done += named([claim])
        assert count_of(self.engine) == QueueCounts("q")
        assert self.engine.limits() == []
        return sorted(done)

    def _start(self) -> None:
        for worker in list(self.idle):
            for claim in worker.claim():
                if claim.gated or self.engine.admit([GATE], (worker.name, claim)).wait == 0:
                    self.idle.remove(worker)
                    self.busy.append((worker, claim))
                else:
                    worker.end(claim, Park((GATE,), 0))


def test_a_producer_that_parks(engine: Engine, mortal: Mortal) -> None:
    """All jobs of the call are there, or none."""
    ways = set()
    for die in mortal.moments():
        pushes = [*parked("a", "b"), *parked("c", rule=OTHER)]
        die(partial(mortal.engine.push, pushes))
        found = [one.body.decode() for one in pushes if engine.find(one.id)]
        assert found in ([], ["a", "b", "c"])
        assert used(engine) == {}
        assert Survivors(engine).work_off(len(found)) == found
        ways.add(len(found))
    assert ways == {0, 3}


def test_a_worker_that_ends_a_job_and_is_given_a_parked_one(engine: Engine, mortal: Mortal) -> None:
    ways = set()
    for die in mortal.moments():
        worker = Worker(engine, f"w-{new_id()}")
        claim = worker.take("runs")
        assert engine.admit([GATE], (worker.name, claim)).wait == 0
        pushes = parked("a", "b")
        engine.push(pushes)
        die(partial(end_and_claim, mortal.engine, worker, claim))
        assert used(engine).get("k", 0) <= 1
        names = ["a", "b"] if engine.find(claim.id) is None else ["a", "b", "runs"]
        given = [one.id for one in engine.page("running").jobs if one.id != claim.id]
        crashed = engine.recover(worker.name, None)
        assert crashed.crashed == tuple(given or ([claim.id] if "runs" in names else []))
        assert used(engine) == {}
        assert Survivors(engine).work_off(len(names)) == names
        ways.add((len(names), len(given)))
    assert ways - {(2, 0)} == {(3, 0), (2, 1)}


def end_and_claim(engine: Engine, worker: Worker, claim: Claim) -> None:
    worker.engine = engine
    worker.step(Settlement(claim, DONE), want=1)
    worker.step(want=1)


def test_a_worker_that_takes_a_slot_and_leaves_the_one_before(
    engine: Engine, mortal: Mortal
) -> None:
    """The first job has ended, which its worker has noted for the keeper."""
    for die in mortal.moments():
        worker = Worker(engine, f"w-{new_id()}")
        first, second = worker.take_all("first", "second")
        assert engine.admit([GATE], (worker.name, first)).wait == 0
        engine.push(parked("waits"))
        die(
            partial(
                mortal.engine.admit, [GATE], (worker.name, second), [EndedSlots(first, (GATE,))]
            )
        )
        assert used(engine).get("k", 0) <= 1
        found = engine.recover(worker.name, died(request=1, finished=1, started=1))
        assert (found.done, found.crashed) == ((first.id,), (second.id,))
        assert used(engine) == {}
        assert Survivors(engine).work_off(2) == ["second", "waits"]


def test_a_keeper_that_recovers_a_job_with_a_slot(engine: Engine, mortal: Mortal) -> None:
    ways = set()
    for die in mortal.moments():
        worker = Worker(engine, f"w-{new_id()}")
        engine.push(parked("runs", "waits"))
        (claim,) = worker.claim()
        assert claim.gated
        die(partial(mortal.engine.recover, worker.name, None))
        found = engine.recover(worker.name, None).crashed
        assert found in ((), (claim.id,))
        assert used(engine) == {}
        again = engine.find(claim.id)
        assert again is not None
        assert again.state.crashes == 1
        assert Survivors(engine).work_off(2) == ["runs", "waits"]
        ways.add(len(found))
    assert ways == {0, 1}
