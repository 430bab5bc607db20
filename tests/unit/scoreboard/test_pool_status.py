"""The master's page has room for whatever its settings name."""

from __future__ import annotations

from poolq.scoreboard.pool_status import PoolStatus, encode, read

ROOM = 1 << 15


def a_pool(queues: list[str] | None) -> PoolStatus:
    return PoolStatus(
        "p", "ns", "sqlite:///x", queues, "", "host", 1, "n1", 0.0, 15.0, "running", False,
        1, 0, "", 2, None, {}, [],
    )  # fmt: skip


def test_a_few_queues_are_told() -> None:
    pool = a_pool(["emails", "default"])
    assert read(encode(pool, ROOM)) == pool
    assert read(encode(a_pool(None), ROOM)) == a_pool(None)


def test_of_a_thousand_with_long_names_the_first_are_told() -> None:
    queues = [f"{number:04}" + "x" * 200 for number in range(1000)]
    data = encode(a_pool(queues), ROOM)
    assert len(data) <= ROOM
    found = read(data)
    assert found is not None, "the pool is not said to be starting"
    assert found.queues == queues[: len(found.queues or ())]
    assert len(found.queues) > 50
    assert found.state == "running"
