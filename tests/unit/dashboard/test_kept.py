"""What is kept from frame to frame changes nothing that is drawn, and saves most of the work."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import product

import msgspec
import pytest

from poolq.dashboard.drawing import frame
from poolq.dashboard.drawing.table import PaneColumn
from poolq.dashboard.drawing.theme import make_theme
from poolq.dashboard.kept import Kept
from poolq.dashboard.panes import PANES
from poolq.dashboard.screen_state import Order, ScreenState
from poolq.monitor.snapshot import Snapshot
from tests.support import snapshots

THEME = make_theme(colour=True, ascii_only=False)
ASCII = make_theme(colour=False, ascii_only=True)
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
        for size, theme in product(SIZES, (THEME, ASCII)):
            for snapshot in (later(first, number), later(others, number), later(first, number)):
                kept = frame.draw(snapshot, state, theme, size, 0.0)
                fresh = frame.draw(snapshot, replace(state, kept=Kept()), theme, size, 0.0)
                assert kept == fresh, (step, size)


def test_rows_that_have_not_changed_are_not_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    made: Counter[str] = Counter()

    def counted(column: PaneColumn) -> PaneColumn:
        def cell(row: object, context: object) -> object:
            made[column.title] += 1
            return column.cell(row, context)

        return column._replace(cell=cell)

    pane = PANES["queues"]
    monkeypatch.setitem(PANES, "queues", replace(pane, columns=tuple(map(counted, pane.columns))))
    queues = tuple(snapshots.queue(f"q{number}") for number in range(20))
    first = msgspec.structs.replace(snapshots.troubled(), queues=queues)
    state = ScreenState(pane="queues")
    frame.draw(first, state, THEME, (200, 50), 0.0)
    assert made["READY"] > 5
    made.clear()
    frame.draw(later(first, 1), state, THEME, (200, 50), 0.0)
    assert not made
    changed = msgspec.structs.replace(queues[3], failed=99)  # it keeps its place
    queues = (*queues[:3], changed, *queues[4:])
    frame.draw(msgspec.structs.replace(first, queues=queues), state, THEME, (200, 50), 0.0)
    assert made["READY"] == 1
