"""What is kept from frame to frame changes nothing that is drawn."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import msgspec

from poolq.dashboard.drawing import frame
from poolq.dashboard.screen_state import Kept, Order, ScreenState
from poolq.monitor.snapshot import Snapshot
from tests.support import snapshots
from tests.unit.dashboard.frames import ASCII, COLOURED

SIZES = ((60, 15), (100, 30), (200, 50))


def later(snapshot: Snapshot, seconds: int) -> Snapshot:
    """The same pool a bit later: time has passed, and some workers have done more jobs."""
    workers = tuple(
        msgspec.structs.replace(
            one, done=one.done + seconds * (one.slot % 2), age=one.age + seconds
        )
        for one in snapshot.workers
    )
    return msgspec.structs.replace(snapshot, at=snapshot.at + seconds, workers=workers)


def test_a_frame_is_the_same_whatever_was_drawn_before() -> None:
    first = snapshots.troubled()
    others = msgspec.structs.replace(first, queues=(*first.queues[1:], snapshots.queue("new")))
    state = ScreenState()
    steps = (
        {}, {"pane": "queues"}, {"chosen": {"queues": first.queues[-1].queue}},
        {"orders": {"queues": Order("READY", descending=True)}}, {"filter": "e"}, {"filter": ""},
        {"orders": {}, "pane": "workers"}, {"pane": "limits"},
    )  # fmt: skip
    for number, step in enumerate(steps):
        state = replace(state, **step)
        for size, theme in product(SIZES, (COLOURED, ASCII)):
            for snapshot in (later(first, number), later(others, number), later(first, number)):
                kept = frame.draw(snapshot, state, theme, size, 0.0)
                fresh = frame.draw(snapshot, replace(state, kept=Kept()), theme, size, 0.0)
                assert kept == fresh, (step, size)
