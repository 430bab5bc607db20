"""Bodies of jobs made at about the same time share a hash, in whatever order they arrive."""

from __future__ import annotations

import pytest
import redis

from poolq.engines.base import Engine, Push, Settlement
from poolq.jobs.outcomes import ACK
from tests.contract.helpers import Worker, named

pytestmark = pytest.mark.parametrize("engine_url", ["redis"], indirect=True)


def hashes(client: redis.Redis, engine: Engine) -> list[int]:
    """The number of bodies in each hash."""
    keys = client.keys(f"{{{engine.namespace}}}:bodies:*")
    return sorted(client.hlen(key) for key in keys)


@pytest.mark.parametrize("moments", ["a", "aaaa", "aabb", "abab", "aba", "aabca", "abcd"])
@pytest.mark.parametrize("delay", [0, 1])
def test_each_claim_has_its_body_and_nothing_is_left(
    engine: Engine, client: redis.Redis, moments: str, delay: int
) -> None:
    pushes = [
        Push(f"{moment * 10}{number:022x}", "q", b"%d" % number, delay)
        for number, moment in enumerate(moments)
    ]
    engine.push(pushes)
    assert hashes(client, engine) == sorted(moments.count(moment) for moment in set(moments))
    worker = Worker(engine)
    claims = [worker.claim_soon(), *worker.claim(9)]
    assert {claim.id: claim.body for claim in claims} == {one.id: one.body for one in pushes}
    if not delay:
        assert named(claims) == [str(number) for number in range(len(moments))]
    assert worker.step(*(Settlement(claim, ACK) for claim in claims)).stale == []
    assert hashes(client, engine) == []


def test_a_lost_body_hides_no_other(engine: Engine, client: redis.Redis) -> None:
    pushes = [Push(f"{'a' * 10}{number:022x}", "q", b"%d" % number) for number in range(4)]
    engine.push(pushes)
    client.hdel(f"{{{engine.namespace}}}:bodies:{'a' * 10}", pushes[1].id)
    worker = Worker(engine)
    claims = worker.claim(9)
    assert named(claims) == ["0", "", "2", "3"]
    assert worker.step(*(Settlement(claim, ACK) for claim in claims)).stale == []
    assert hashes(client, engine) == []
