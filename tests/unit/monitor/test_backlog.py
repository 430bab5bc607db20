"""Whether the workers keep up with the jobs that come."""

from __future__ import annotations

import pytest

from poolq.monitor.backlog import GROWS, KEEPS_UP, SHRINKS, STEADY, UNKNOWN, backlog
from poolq.monitor.snapshot import QueueView, Snapshot
from tests.support import snapshots
from tests.support.snapshots import queue


def of(*queues: QueueView, **more: int) -> Snapshot:
    return Snapshot(at=snapshots.AT, head=snapshots.head(), queues=queues, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("queues", "state", "empty_in"),
    [
        ([], KEEPS_UP, None),
        ([queue("a", ready=500, oldest=1.9, incoming=9.0, outgoing=1.0)], KEEPS_UP, None),
        ([queue("a", ready=500, oldest=2.0, incoming=1.0, outgoing=11.0)], SHRINKS, 50.0),
        ([queue("a", ready=500, oldest=2.0, incoming=11.0, outgoing=1.0)], GROWS, None),
        ([queue("a", ready=500, oldest=2.0, incoming=5.0, outgoing=5.0)], STEADY, None),
        ([queue("a", ready=500, oldest=2.0, incoming=5.1, outgoing=5.0)], STEADY, None),
        ([queue("a", ready=5, oldest=None, incoming=None, outgoing=None)], UNKNOWN, None),
        ([queue("a", ready=500, oldest=9.0, paused=True, outgoing=0.0)], KEEPS_UP, None),
        (
            [
                queue("a", ready=100, oldest=9.0, incoming=9.0, outgoing=0.0, paused=True),
                queue("b", ready=60, oldest=3.0, incoming=1.0, outgoing=4.0),
                queue("c", ready=40, oldest=0.1, incoming=3.0, outgoing=4.0),
            ],
            SHRINKS,
            25.0,
        ),
    ],
)
def test_it_says_how_the_backlog_develops(
    queues: list[QueueView], state: str, empty_in: float | None
) -> None:
    found = backlog(of(*queues))
    assert (found.state, found.empty_in) == (state, empty_in)


def test_it_adds_all_queues() -> None:
    found = backlog(
        of(
            queue("a", ready=7, oldest=1.0, spark=(1.0, 2.0, 3.0)),
            queue("b", ready=5, oldest=8.0, spark=(10.0,), incoming=None),
            queue("c", ready=0, oldest=None, spark=()),
            left_out=4800,
            left_out_ready=90,
        )
    )
    assert (found.ready, found.oldest, found.queue) == (102, 8.0, "b")
    assert (found.incoming, found.outgoing) == (8.0, 13.5)
    assert found.spark == (1.0, 2.0, 13.0), "the newest values are last"
