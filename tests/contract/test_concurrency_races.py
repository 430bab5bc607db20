"""A job that parks races the end of the claim before it: no line stays idle beside a free gate."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from poolq.engines.base import Claim, Engine, Settlement
from poolq.jobs.concurrency import GATE_WINDOW
from poolq.jobs.limits import Rule
from poolq.jobs.retry import DONE, Outcome, Park
from tests.contract.conftest import OpenEngine
from tests.contract.helpers import Worker, every_engine, push

pytestmark = every_engine

GATE = Rule("k", 1, GATE_WINDOW)
#: Every so many races a keeper must also hear of the job.
HEARD = 20
#: How many races there are at least, however slow the engine is.
RACES = 2 * HEARD


class Racer:
    """A worker with a connection of its own, whose thread it is."""

    def __init__(self, engine: Engine, name: str, barrier: Barrier) -> None:
        self.worker = Worker(engine, name, f"n-{name}")
        self.barrier = barrier

    def race(self, claim: Claim, outcome: Outcome, want: int) -> list[Claim]:
        """End the claim at the same time as the other one does, and claim `want` jobs."""
        self.barrier.wait(30)
        answer = self.worker.step(Settlement(claim, outcome), want=want)
        assert answer.stale == []
        return answer.claims


@pytest.mark.timeout(3600)
def test_parks_that_race_releases_lose_no_job(
    engine: Engine, opened: OpenEngine, pytestconfig: pytest.Config
) -> None:
    end = time.monotonic() + pytestconfig.getoption("race_seconds")
    barrier, races = Barrier(2), 0
    first, second = (
        Racer(opened(engine.url, engine.namespace), name, barrier) for name in ("w1", "w2")
    )
    keeper = opened(engine.url, engine.namespace)
    with ThreadPoolExecutor(1) as thread, ThreadPoolExecutor(1) as other_thread:
        one, two = thread, other_thread
        push(engine, "0")
        (holder,) = one.submit(first.worker.claim).result()
        assert first.worker.engine.admit([GATE], ("w1", holder)).wait == 0
        while time.monotonic() < end or races < RACES:
            races += 1
            push(engine, f"{races}")
            (waiter,) = two.submit(second.worker.claim).result()
            assert second.worker.engine.admit([GATE], (second.worker.name, waiter)).wait > 0
            want = races // 2 % 2
            ended = one.submit(first.race, holder, DONE, want)
            parked = two.submit(second.race, waiter, Park((GATE,), 0), want)
            found = [*ended.result(), *parked.result()]
            if not found and races % HEARD == 0:
                assert keeper.wait(["q"], 5) > 0, f"after {races} races a keeper heard nothing"
            if not found:
                found = two.submit(second.worker.claim).result()
            assert [claim.id for claim in found] == [waiter.id], f"after {races} races: {found}"
            assert found[0].gated
            (holder,) = found
            if not ended.result():  # the other worker holds the slot now
                first, second, one, two = second, first, two, one
    print(f"{races} races on {engine.url.partition(':')[0]}")
