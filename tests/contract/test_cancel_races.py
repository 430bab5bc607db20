"""A request to cancel a job races the end of its claim: it reaches this claim, or none."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from poolq.engines.base import Claim, Engine, Settlement, Step
from poolq.jobs.message import State
from poolq.jobs.outcomes import ACK, Outcome, Release
from tests.contract.conftest import OpenEngine
from tests.contract.helpers import HOUR, Worker, every_engine, push, total

pytestmark = every_engine

LATER = Release(HOUR, State(1), "retried")


@pytest.mark.timeout(3600)
def test_a_request_that_races_the_end_of_its_job_never_hits_the_next(
    engine: Engine, opened: OpenEngine, pytestconfig: pytest.Config
) -> None:
    races, in_time = pytestconfig.getoption("cancel_races"), 0
    barrier, worker = Barrier(2), Worker(opened(engine.url, engine.namespace))
    asker = opened(engine.url, engine.namespace)

    def end(claim: Claim, outcome: Outcome) -> Step:
        barrier.wait(60)
        return worker.step(Settlement(claim, outcome), want=1)

    def ask(id: str) -> list[str]:
        barrier.wait(60)
        return asker.request_cancel([id], 0)

    with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(1) as other:
        push(engine, "first")
        (claim,) = one.submit(worker.claim).result()
        for race in range(races):
            push(engine, f"{race}")
            outcome = LATER if race % 2 else ACK
            ended, asked = one.submit(end, claim, outcome), other.submit(ask, claim.id)
            step, found = ended.result(), asked.result()
            assert found in ([], [claim.id])
            assert step.stale == (found if outcome is LATER else []), f"race {race}"
            assert engine.cancel_requests("n1") == []
            waits = engine.cancel([claim.id])  # it was released, or is gone
            assert waits == ([claim.id] if outcome is LATER and not found else [])
            in_time += len(found)
            (claim,) = step.claims
        one.submit(worker.end, claim).result()
    assert total(engine, "cancelled") == races // 2
    assert total(engine, "done") == (races + 1) // 2 + 1
    print(f"{in_time} of {races} requests came in time on {engine.url.partition(':')[0]}")
