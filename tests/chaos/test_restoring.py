"""What a job's claim is worth depends on its worker's record, so this is one of the job's facts."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import pytest

from tests.chaos.failover import Lost, compare, facts
from tests.chaos.restoring import Rows, copy_redis, of_rows
from tests.contract.helpers import Worker, open_engine, push
from tests.support.servers import Redis

JOB, WORKER = "0123", "host:1"


def rows(place: str | bytes, worker: str | bytes, request: int) -> Rows:
    return {
        "jobs": (["id", "place"], [(JOB, place)]),
        "failed": (["id"], []),
        "workers": (["worker", "request"], [(worker, request)]),
    }


@pytest.mark.parametrize("suffix", ["", "!"], ids=["running", "to be cancelled"])
@pytest.mark.parametrize("stored", [str, str.encode], ids=["text", "bytes"])
def test_a_claim_has_another_worth_after_another_request(stored: Any, suffix: str) -> None:
    claimed = stored(f"w:{WORKER}{suffix}")
    before, after = (of_rows(rows(claimed, stored(WORKER), number)) for number in (1, 2))
    assert list(before) == list(after) == [JOB]
    assert before != after
    waiting = (of_rows(rows(stored(""), stored(WORKER), number)) for number in (1, 2))
    assert next(waiting) == next(waiting)


def test_on_redis_too(redis_server: Redis, namespace: str) -> None:
    """Also after a failover, which loses the last requests."""
    with closing(open_engine(redis_server.url, namespace)) as engine:
        worker = Worker(engine)
        ids = push(engine, *"ab")
        worker.claim()
        before, put_back = facts(redis_server, namespace), copy_redis(redis_server, namespace)
        worker.step()
        after = facts(redis_server, namespace)
        assert put_back
        lost = put_back()
    # A server scans its keys in any order.
    assert sorted(before) == sorted(after) == ids
    assert [before[id] == after[id] for id in ids] == [False, True], "one is claimed"
    assert lost == compare(after, before) == Lost(behind=frozenset(ids[:1]))
