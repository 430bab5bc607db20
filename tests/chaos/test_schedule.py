"""The seed makes the schedule, and a run of a minute meets each kind."""

from __future__ import annotations

import pytest

from tests.chaos.schedule import KINDS, LONG_KINDS, schedule


@pytest.mark.parametrize("engine", KINDS)
def test_the_seed_reproduces_it(engine: str) -> None:
    assert schedule(7, engine, 60, 4) == schedule(7, engine, 60, 4)
    assert schedule(7, engine, 60, 4) != schedule(8, engine, 60, 4)


@pytest.mark.parametrize("engine", KINDS)
def test_every_kind_comes_in_a_minute_or_so_and_ends_within_it(engine: str) -> None:
    faults = schedule(7, engine, 75, 4)
    assert {one.kind for one in faults} == set(KINDS[engine])
    assert [one.at for one in faults] == sorted(one.at for one in faults)
    assert all(one.at < 75 and one.at + one.span <= 75.1 for one in faults)


def test_a_node_is_stopped_for_longer_than_it_lives() -> None:
    long = [one for one in schedule(7, "redis", 60, 4) if one.kind in LONG_KINDS and one.at < 50]
    assert long
    assert all(one.span > 4 for one in long)
