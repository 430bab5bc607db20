"""What a snapshot counts."""

from __future__ import annotations

import pytest

from poolq.monitor.reader import count_busy
from poolq.monitor.snapshot import WorkerView
from tests.support.snapshots import busy, idle


@pytest.mark.parametrize(
    ("workers", "counts"),
    [
        ([idle(1), busy(2), idle(3, state="boot"), busy(4)], (2, 0)),
        ([busy(1, id="", job=""), busy(2), idle(3)], (2, 0)),
        ([*map(busy, range(1, 5)), *(busy(slot, state="leaving") for slot in (1, 2, 3))], (4, 3)),
        ([idle(1), busy(1, state="leaving"), busy(1, state="leaving")], (0, 2)),
        ([busy(1, state="leaving"), idle(2)], (1, 0)),
        ([idle(1, state="boot"), busy(1, state="leaving")], (0, 1)),
        ([busy(slot, state="leaving") for slot in (1, 2, 3)], (3, 0)),
        ([busy(4), busy(5, state="leaving"), idle(6, state="leaving")], (1, 1)),
    ],
    ids=["none leaves", "between jobs", "all were replaced", "twice", "no successor",
         "a successor boots", "drain", "scaled down"],
)  # fmt: skip
def test_busy_workers_are_never_more_than_there_are(
    workers: list[WorkerView], counts: tuple[int, int]
) -> None:
    assert count_busy(workers, 4) == counts
