"""A job that parks races the end of the claim before it: no line stays idle beside a free gate."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Barrier
from typing import Any, TypeVar

import pytest

from poolq.engines.base import Claim, EndedSlots, Engine, Settlement
from poolq.jobs.limits import Gate
from poolq.jobs.outcomes import DONE, Outcome, Park
from tests.contract.conftest import OpenEngine
from tests.contract.helpers import Worker, every_engine, push

pytestmark = every_engine

T = TypeVar("T")

GATE = Gate("k", 1)
#: Every so many races a worker also asks for the slot in vain before it parks its job, and a keeper
#: must hear of the job once it waits. A round trip more would make the races rarer.
CHECKED = 20
#: How many jobs a worker claims at once, to park one in each race.
STOCK = 20


class Racer:
    """A worker with a connection and a thread of its own, and jobs that it has claimed."""

    def __init__(self, engine: Engine, name: str, barrier: Barrier) -> None:
        self.worker = Worker(engine, name, f"n-{name}")
        self.barrier = barrier
        self.stock: list[Claim] = []
        self.ended: list[Settlement] = []
        self.thread = ThreadPoolExecutor(1)

    def run(self, act: Callable[..., T], *args: Any) -> Future[T]:
        return self.thread.submit(act, *args)

    def next_job(self, checked: bool) -> Claim:
        """Return a job that the worker has claimed, and that waits for the slot."""
        if not self.stock:
            push(self.worker.engine, *["job"] * STOCK)
            self.stock = self.worker.claim(STOCK)[::-1]
        claim = self.stock.pop()
        if checked:
            assert self.worker.engine.admit([GATE], (self.worker.name, claim)).wait > 0
        return claim

    def go_on(self, holder: Claim) -> Claim:
        """Let the worker's next job have the slot of one that has ended, before this is settled."""
        claim, name = self.next_job(checked=False), self.worker.name
        ended = EndedSlots(holder, (GATE,))
        assert self.worker.engine.admit([GATE], (name, claim), [ended]).wait == 0
        self.ended = [Settlement(holder, DONE)]
        return claim

    def race(self, claim: Claim, outcome: Outcome, want: int) -> list[Claim]:
        """End the claim at the same time as the other one does, and claim `want` jobs."""
        self.barrier.wait(60)
        answer = self.worker.step(*self.ended, Settlement(claim, outcome), want=want)
        self.ended = []
        assert answer.stale == []
        return answer.claims


@pytest.mark.timeout(7200)
def test_parks_that_race_releases_lose_no_job(
    engine: Engine, opened: OpenEngine, pytestconfig: pytest.Config
) -> None:
    races: int = pytestconfig.getoption("park_races")
    barrier = Barrier(2)
    ending, parking = (
        Racer(opened(engine.url, engine.namespace), name, barrier) for name in ("w1", "w2")
    )
    keeper = opened(engine.url, engine.namespace)
    with ending.thread, parking.thread:
        push(engine, "first")
        (holder,) = ending.run(ending.worker.claim).result()
        assert ending.worker.engine.admit([GATE], ("w1", holder)).wait == 0
        for race in range(races):
            checked, want = race % CHECKED == 0, race // 2 % 2
            if race % 2:
                holder = ending.run(ending.go_on, holder).result()
            waiter = parking.run(parking.next_job, checked).result()
            ended = ending.run(ending.race, holder, DONE, want)
            parked = parking.run(parking.race, waiter, Park((GATE,), 0), want)
            found = [*ended.result(), *parked.result()]
            if not found:
                if checked:
                    assert keeper.wait(["q"], 60) > 0, f"in race {race} a keeper heard nothing"
                found = parking.run(parking.worker.claim).result()
            assert [claim.id for claim in found] == [waiter.id], f"race {race}: {found}"
            assert found[0].gated
            (holder,) = found
            if not ended.result():  # the other worker holds the slot now
                ending, parking = parking, ending
