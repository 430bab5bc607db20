"""Which panes are shown, and where."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poolq.dashboard.drawing.layout import PANE_GAP, WIDE, PaneArea, arrange
from poolq.dashboard.panes import PANES

FEW = {**dict.fromkeys(PANES, 1), "schedules": 0}


def panes(areas: list[PaneArea]) -> list[str]:
    return [one.pane for one in areas]


@given(
    rows=st.fixed_dictionaries({name: st.integers(0, 60) for name in PANES}),
    trouble=st.dictionaries(st.sampled_from(list(PANES)), st.integers(0, 60)),
    focus=st.sampled_from(list(PANES)),
    width=st.integers(20, 300),
    height=st.integers(3, 80),
)
def test_panes_fill_the_screen_and_never_overlap(
    rows: dict[str, int], trouble: dict[str, int], focus: str, width: int, height: int
) -> None:
    areas = arrange(rows, trouble, focus, width, height)
    assert focus in panes(areas)
    assert len(set(panes(areas))) == len(areas)
    for one, other in combinations(areas, 2):
        beside = one.left + one.width <= other.left
        assert beside or one.top + one.height <= other.top
    size = sum(one.width * one.height for one in areas)
    gap = PANE_GAP * sum(one.height for one in areas if one.left)
    assert size + gap == width * height


@pytest.mark.parametrize("focus", ["workers", "failures", "events"])
def test_a_wide_screen_has_two_columns_between_workers_and_events(focus: str) -> None:
    areas = arrange({**FEW, "schedules": 1, "events": 60}, {}, focus, 200, 36)
    assert panes(areas) == ["workers", *WIDE[0], *WIDE[1], "events"]
    assert {one.pane for one in areas if one.left} == set(WIDE[1])
    assert (areas[0].width, areas[0].height) == (200, 2)
    assert areas[-1] == PaneArea("events", 0, 11, 200, 25)
    queues = arrange({**FEW, "events": 60, "queues": 22}, {}, focus, 200, 36)
    assert queues[-1].height >= 6


def test_many_workers_leave_half_of_a_wide_screen_to_the_others() -> None:
    many = {**FEW, "workers": 100, "failures": 100}
    for focus in ("workers", "failures"):
        assert arrange(many, {}, focus, 200, 36)[0].height <= 18


@pytest.mark.parametrize(
    ("nodes", "height", "shown"),
    [(1, 18, set()), (1, 24, {"kinds"}), (1, 28, {"kinds", "nodes"}), (2, 24, {"nodes"})],
    ids=["neither", "kinds of jobs", "both", "several nodes"],
)
def test_optional_panes_come_with_the_room(nodes: int, height: int, shown: set[str]) -> None:
    found = panes(arrange({**FEW, "nodes": nodes}, {}, "workers", 100, height))
    assert set(found) & {"kinds", "nodes"} == shown


@pytest.mark.parametrize("size", [(60, 15), (100, 30), (200, 50)])
def test_schedules_are_shown_only_if_there_are_any(size: tuple[int, int]) -> None:
    assert "schedules" not in panes(arrange(FEW, {}, "workers", *size))
    assert "schedules" in panes(arrange(FEW, {}, "schedules", *size))
    assert "schedules" in panes(arrange({**FEW, "schedules": 1}, {}, "workers", *size))


def test_a_small_screen_leaves_out_panes_without_rows() -> None:
    few = {**FEW, "limits": 0}
    assert "limits" not in panes(arrange(few, {}, "workers", 60, 8))
    assert "limits" in panes(arrange(few, {}, "limits", 60, 8))
    assert "limits" in panes(arrange(few, {}, "workers", 100, 18))


def heights(areas: list[PaneArea]) -> dict[str, int]:
    return {one.pane: one.height for one in areas}


def test_what_is_in_trouble_has_room_before_what_is_well() -> None:
    rows = {**FEW, "workers": 8, "queues": 30, "schedules": 9, "failures": 9, "events": 90}
    calm = heights(arrange(rows, {}, "workers", 80, 14))
    assert (calm["workers"], calm["queues"], calm["failures"]) == (8, 2, 2)
    found = heights(arrange(rows, {"queues": 4}, "workers", 80, 14))
    assert (found["workers"], found["queues"], found["limits"]) == (7, 5, 2)
    many = heights(arrange(rows, {"queues": 30, "failures": 1}, "workers", 80, 14))
    assert (many["workers"], many["queues"]) == (5, 7), "those with trouble have two thirds"
    assert many["failures"] == 2


def test_failures_and_events_have_room_before_schedules_that_are_well() -> None:
    rows = {**FEW, "schedules": 9, "failures": 9, "events": 90}
    shown = panes(arrange(rows, {}, "workers", 80, 10))
    assert shown == ["workers", "queues", "limits", "failures", "events"]
    shown = panes(arrange(rows, {"schedules": 1}, "workers", 80, 10))
    assert shown == ["workers", "queues", "limits", "schedules", "failures"]
    assert panes(arrange(rows, {}, "workers", 80, 40))[-2:] == ["kinds", "nodes"]
