"""Whether the workers keep up with the jobs that come."""

from __future__ import annotations

import msgspec
import pytest

from poolq.monitor.backlog import GROWS, KEEPS_UP, SHRINKS, STEADY, UNKNOWN, backlog
from poolq.monitor.snapshot import QueueView, Snapshot
from tests.support import snapshots
from tests.support.snapshots import queue


def went(*ready: float) -> tuple[float, ...]:
    """The ready jobs of a queue, every 2 seconds."""
    return tuple(map(float, ready))


FELL = went(0, 600, 580, 560, 540, 520, 500)
ROSE = went(300, 310, 330, 350, 400, 420, 500)
FLAT = went(*[500] * 30)
BATCH = went(0, 0, 0, 0, 0, 0, 5000, 10000, 10000)


def of(*queues: QueueView, **more: int) -> Snapshot:
    return Snapshot(at=snapshots.AT, head=snapshots.head(), queues=queues, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("queues", "state", "empty_in"),
    [
        ([], KEEPS_UP, None),
        ([queue("a", ready=500, oldest=1.9, spark=ROSE)], KEEPS_UP, None),
        ([queue("a", ready=500, oldest=2.0, spark=FELL)], SHRINKS, 50.0),
        ([queue("a", ready=500, oldest=2.0, spark=ROSE)], GROWS, None),
        ([queue("a", ready=500, oldest=2.0, spark=FLAT)], STEADY, None),
        ([queue("a", ready=500, oldest=2.0, spark=went(*[499, 500] * 4))], STEADY, None),
        ([queue("a", ready=10000, oldest=2.0, spark=BATCH)], STEADY, None),
        ([queue("a", ready=10000, oldest=2.0, spark=BATCH[:-1])], STEADY, None),
        ([queue("a", ready=490, oldest=2.0, spark=(*ROSE, 490.0))], STEADY, None),
        ([queue("a", ready=510, oldest=2.0, spark=(*FELL, 510.0))], STEADY, None),
        ([queue("a", ready=500, oldest=2.0, spark=ROSE[-5:])], UNKNOWN, None),
        ([queue("a", ready=5, oldest=None, spark=went(5))], UNKNOWN, None),
        ([queue("a", ready=500, oldest=9.0, spark=ROSE, paused=True)], KEEPS_UP, None),
        ([queue("a", ready=500, oldest=9.0, spark=ROSE, served=False)], KEEPS_UP, None),
        (
            [
                queue("a", ready=100, oldest=9.0, spark=ROSE, paused=True),
                queue("b", ready=60, oldest=3.0, spark=went(96, 90, 84, 78, 72, 66, 60)),
                queue("c", ready=40, oldest=0.1, spark=went(52, 50, 48, 46, 44, 42, 40)),
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


def test_a_trend_is_one_of_readings_which_may_be_slow() -> None:
    """The engine is read every 4 seconds, and a queue's numbers are 2 seconds apart."""
    slow = msgspec.structs.replace(snapshots.head(), period=4.0)
    rose = tuple(float(ready) for ready in range(0, 60, 10) for _ in (1, 2))
    some = queue("a", ready=50, oldest=2.0, spark=rose)
    pool = Snapshot(at=snapshots.AT, head=slow, queues=(some,))
    assert (backlog(pool).state, backlog(pool).growth) == (GROWS, 2.5)
    assert backlog(of(some)).state == STEADY


def test_the_oldest_job_is_one_that_a_worker_will_take() -> None:
    lost = queue("lost", ready=1, oldest=890.0, served=False)
    held = queue("held", ready=1, oldest=600.0, paused=True)
    both = backlog(of(lost, held, queue("a", ready=74, oldest=70.0, spark=FLAT)))
    assert (both.ready, both.oldest, both.queue, both.state) == (76, 70.0, "a", STEADY)
    assert backlog(of(lost, held))[:3] == (2, None, "")


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
