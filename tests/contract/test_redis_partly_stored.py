"""A script that fails is not rolled back. So after a push that failed midway, the engine says which
jobs it has not stored: who stored the others again would have them run twice."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from poolq import Job
from poolq.config import load
from poolq.engines.base import Engine, Push
from poolq.errors import EngineError
from poolq.jobs import async_dispatch
from poolq.jobs.producer import dispatching_to
from poolq.jobs.unique import UniqueKey
from tests.contract.helpers import HOUR, Worker, named, new_id
from tests.support.by_hand import call

pytestmark = pytest.mark.parametrize("engine_url", ["redis"], indirect=True)

KINDS: dict[str, Callable[[str, str], Push]] = {
    "plain": lambda queue, name: Push(new_id(), queue, name.encode()),
    "unique": lambda queue, name: Push(
        new_id(), queue, name.encode(), unique=UniqueKey(name, "end")
    ),
    "replacing": lambda queue, name: Push(
        new_id(), queue, name.encode(), unique=UniqueKey(name, "end", replaces=True)
    ),
    "expiring": lambda queue, name: Push(new_id(), queue, name.encode(), expires=HOUR),
}


@pytest.mark.parametrize("kind", KINDS)
def test_after_a_push_that_failed_midway_the_engine_says_which_jobs_are_missing(
    engine: Engine, worker: Worker, kind: str
) -> None:
    call(engine, "SET", "ready:damaged", "x")
    pushes = [
        KINDS[kind](queue, name) for queue, name in [("q", "a"), ("damaged", "b"), ("r", "c")]
    ]
    with pytest.raises(EngineError, match="answers: WRONGTYPE") as failure:
        engine.push(pushes)
    assert failure.value.ids == tuple(push.id for push in pushes[1:])
    assert named(worker.claim(9, ["q", "r"])) == ["a"]


def test_if_the_first_job_is_refused_none_is_stored(engine: Engine, worker: Worker) -> None:
    call(engine, "SET", "ready:damaged", "x")
    with pytest.raises(EngineError, match="answers: WRONGTYPE") as failure:
        engine.push([KINDS["plain"](queue, queue) for queue in ("damaged", "q")])
    assert failure.value.ids == ()
    assert worker.claim(9, ["q"]) == []


class Mail(Job):
    def run(self) -> None:
        pass


def test_of_many_calls_of_adispatch_each_job_runs_once(engine: Engine, worker: Worker) -> None:
    call(engine, "SET", "ready:damaged", "x")
    queues = ["q", "damaged", "q", "r"] * 25

    async def main() -> list[object]:
        calls = [Mail.set(queue=queue).adispatch({"n": n}) for n, queue in enumerate(queues)]
        return await asyncio.gather(*calls, return_exceptions=True)

    with dispatching_to(engine, load()):
        answers = asyncio.run(main())
    assert len(queues) == async_dispatch.MAX_CALLS
    stored = [answer for answer in answers if isinstance(answer, str)]
    assert [isinstance(answer, EngineError) for answer in answers] == [
        queue == "damaged" for queue in queues
    ]
    claims = worker.claim(200, ["q", "r"])
    assert sorted(claim.id for claim in claims) == sorted(stored)
