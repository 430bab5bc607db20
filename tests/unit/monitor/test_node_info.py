"""What nodes publish about themselves."""

from __future__ import annotations

import pytest

from poolq.engines.base import NodeRecord
from poolq.monitor import node_info
from poolq.monitor.node_info import NodeInfo

NOW = 1_795_780_800_000_000
PROCESS = ("boot", "ns", 1, 2)


def record(at: int, ttl: float) -> NodeRecord:
    info = NodeInfo("p", "h", PROCESS, PROCESS, at=at, ttl=ttl)
    return NodeRecord("n", 1, node_info.encode(info), 0)


DEAD = record(NOW - 31_000_000, 30)


@pytest.mark.parametrize(
    ("nodes", "alive"),
    [
        ([], False),
        ([DEAD], False),
        ([DEAD, record(NOW - 29_000_000, 30)], True),
        ([record(0, 30)], True),
        ([record(NOW - 31_000_000, 0)], True),
        ([NodeRecord("n", 1, b"", 0)], True),
    ],
)
def test_a_node_that_has_been_silent_for_its_ttl_is_dead(
    nodes: list[NodeRecord], alive: bool
) -> None:
    """What cannot be told counts as alive."""
    assert node_info.any_alive(nodes, NOW) == alive
