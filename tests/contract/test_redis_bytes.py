"""A step stops claiming once the bodies exceed a budget, so that no step takes seconds."""

from __future__ import annotations

import pytest

from poolq.engines.base import CLAIM_BYTES, Engine, Push, Settlement
from poolq.jobs.message import State
from poolq.jobs.outcomes import ACK, GIVE_BACK, Release
from tests.contract.helpers import MS, Worker, count_of, named, new_id, stored, wait_for

pytestmark = pytest.mark.parametrize("engine_url", ["redis", "valkey"], indirect=True)

BIG = CLAIM_BYTES // 4


def fill(engine: Engine, sizes: list[int], delay: int = 0) -> list[str]:
    pushes = [Push(new_id(), "q", bytes(size), delay) for size in sizes]
    engine.push(pushes)
    return [one.id for one in pushes]


@pytest.mark.parametrize("place", ["ready", "delayed", "back"])
@pytest.mark.parametrize("queues", [["q"], None], ids=str)
def test_claiming_ends_with_the_job_that_exceeds_the_budget(
    engine: Engine, queues: list[str] | None, place: str
) -> None:
    worker = Worker(engine, queues=queues)
    ids = fill(engine, [BIG] * 12, delay=1 if place == "delayed" else 0)
    wait_for(engine, stored(engine, ids[-1]).at)
    if place == "back":
        for _ in range(3):
            worker.step(*(Settlement(one, GIVE_BACK) for one in worker.claim(99)))
    taken = []
    for _ in range(4):
        step = worker.step(want=99)
        assert worker.again(want=99).claims == step.claims
        assert sum(len(one.body) for one in step.claims) <= CLAIM_BYTES + BIG
        taken.append([one.id for one in step.claims])
        worker.step(*(Settlement(one, ACK) for one in step.claims))
    assert [id for some in taken for id in some] == ids
    assert [len(some) for some in taken] == [4, 4, 4, 0]


def test_small_jobs_before_big_ones_are_claimed_with_few_big_ones(
    engine: Engine, worker: Worker
) -> None:
    ids = fill(engine, [10] * 100 + [BIG] * 20)
    claims = worker.claim(500)
    assert [one.id for one in claims] == ids[: len(claims)]
    assert 100 < len(claims) <= 105
    assert count_of(engine).ready == 120 - len(claims)


def test_a_single_job_may_exceed_the_budget_and_the_rest_wakes_others(
    engine: Engine, worker: Worker
) -> None:
    fill(engine, [CLAIM_BYTES + 1, 1])
    assert [len(one.body) for one in worker.claim(9)] == [CLAIM_BYTES + 1]
    assert engine.wait(["q"], 5) > 0
    (last,) = worker.claim(9)
    worker.end(last, Release(50 * MS, State(1)))
    assert named([worker.claim_soon()]) == ["\0"]
