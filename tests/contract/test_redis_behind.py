"""A replica that becomes the master may not know what a worker did last."""

from __future__ import annotations

import pytest
import redis

from poolq.engines.base import Engine, Settlement
from poolq.errors import Fenced
from poolq.retry import ACK
from tests.contract.helpers import Worker, named, push

pytestmark = pytest.mark.parametrize("engine_url", ["redis"], indirect=True)


def test_a_worker_whose_last_step_was_lost_is_fenced_and_its_claims_run_again(
    engine: Engine, client: redis.Redis
) -> None:
    """Else its settled claims, which are held again, would be so as long as it lives."""
    push(engine, "a", "b", "c")
    worker = Worker(engine)
    first = worker.claim(2)
    known = {key: client.dump(key) for key in client.keys(f"{{{engine.namespace}}}:*")}
    (last,) = worker.step(*(Settlement(claim, ACK) for claim in first), want=1).claims
    for key, value in known.items():
        client.restore(key, 0, value, replace=True)
    with pytest.raises(Fenced):
        worker.step(Settlement(last, ACK))
    engine.recover("w1", None)
    assert sorted(named(Worker(engine, "w2").claim(9))) == ["a", "b", "c"]
