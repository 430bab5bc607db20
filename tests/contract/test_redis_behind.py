"""A replica that becomes the master may not know the last operations of a worker."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import redis

from poolq.engines.base import Engine, Settlement
from poolq.errors import Fenced
from poolq.jobs.outcomes import ACK
from tests.contract.helpers import Worker, named, push

pytestmark = pytest.mark.parametrize("engine_url", ["redis"], indirect=True)


def test_a_worker_whose_last_step_was_lost_is_fenced_and_its_claims_run_again(
    engine: Engine, client: redis.Redis
) -> None:
    """Otherwise its settled claims, which are held again, would stay held while it lives."""
    push(engine, "a", "b", "c")
    worker = Worker(engine)
    first = worker.claim(2)
    with forgotten(engine, client):
        (last,) = worker.step(*(Settlement(claim, ACK) for claim in first), want=1).claims
    with pytest.raises(Fenced):
        worker.step(Settlement(last, ACK))
    engine.recover("w1", None)
    assert sorted(named(Worker(engine, "w2").claim(9))) == ["a", "b", "c"]


@pytest.mark.parametrize("lost", [1, 3])
def test_a_worker_whose_first_steps_were_lost_is_fenced(
    engine: Engine, client: redis.Redis, lost: int
) -> None:
    """It may hold claims of jobs that others run."""
    push(engine, *"abcd")
    worker = Worker(engine)
    with forgotten(engine, client):
        for _ in range(lost):
            worker.claim()
    with pytest.raises(Fenced):
        worker.claim()
    engine.recover("w1", None)
    assert named(Worker(engine, "w2").claim(9)) == [*"abcd"]


@contextmanager
def forgotten(engine: Engine, client: redis.Redis) -> Iterator[None]:
    """The server forgets everything that is done inside."""
    known = {key: client.dump(key) for key in client.keys(f"{{{engine.namespace}}}:*")}
    yield
    for key, value in known.items():
        client.restore(key, 0, value, replace=True)
