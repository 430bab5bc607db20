"""Nodes are silent for longer than their own time to live, by the listener's time between its own
beats, and by no clock of theirs."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from poolq.keeper.failure_detector import MIN_OBSERVATIONS, FailureDetector


class Observer:
    """Beats, and hears of each node with these times to live."""

    def __init__(self, **ttls: float) -> None:
        self.detector = FailureDetector()
        self.ttls = ttls
        self.now = 1000.0

    def hears(self, counters: Mapping[str, int], after: float = 1.0, took: float = 0.0) -> str:
        self.now += after
        begun, self.now = self.now, self.now + took
        return "".join(self.detector.observe(counters, self.ttls.__getitem__, begun, self.now))

    def moments(self, every: float, most: int = 3000) -> dict[str, float]:
        """When each node is found silent, of which none beats any more."""
        begun, found = self.now, {}
        counters = dict.fromkeys(self.ttls, 7)
        for _ in range(most):
            for node in self.hears(counters, every):
                found.setdefault(node, self.now - begun - every)
        return found


def test_each_node_is_judged_by_its_own_time_to_live() -> None:
    """By an observer of any pace; and by none before that time is over."""
    for every in (0.3, 0.33, 5.0):
        found = Observer(a=2.0, b=30.0, c=600.0).moments(every)
        assert list(found) == ["a", "b", "c"]
        for node, ttl in (("a", 2.0), ("b", 30.0), ("c", 600.0)):
            assert found[node] > ttl
            assert found[node] <= max(ttl + every, (MIN_OBSERVATIONS + 1) * every)


def test_one_that_beats_in_its_time_is_never_silent() -> None:
    """Twice in it is enough, also for a hasty observer."""
    one = Observer(a=30.0)
    for look in range(1000):
        assert one.hears({"a": look // 50}, 0.3) == ""


def test_one_beat_begins_the_time_again_and_so_does_any_other_counter() -> None:
    """A node that came back under its name begins to count anew."""
    one = Observer(a=6.0)
    for counter in (9, 9, 9, 9, 9, 9, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2):
        assert one.hears({"a": counter}) == ""
    assert one.hears({"a": 2}) == "a"
    assert one.hears({"a": 2}) == "a", "until somebody has reaped it"


@pytest.mark.parametrize("away", [2.0, 100.0, 1e9])
def test_an_outage_of_our_own_makes_nobody_silent(away: float) -> None:
    """Nobody could beat in that time, or we would not have heard it."""
    one = Observer(a=6.0)
    for _ in range(6):
        assert one.hears({"a": 7}) == ""
    one.detector.interrupted()
    assert one.hears({"a": 7}, away) == "", "the time away counts for nothing"
    assert one.hears({"a": 8}) == ""
    assert [one.hears({"a": 8}) for _ in range(7)] == [""] * 6 + ["a"]


def test_a_stop_that_nobody_noticed_makes_nobody_silent() -> None:
    """Of us and of the other node, as of the whole machine: it counts as one look."""
    one = Observer(a=6.0, b=0.5)
    one.hears({"a": 7, "b": 1})
    assert one.hears({"a": 7, "b": 1}, 1e6) == ""
    assert one.hears({"a": 8, "b": 2}) == ""


def test_an_exchange_that_takes_long_is_no_time_of_silence() -> None:
    """Nobody knows when in it the engine looked."""
    one = Observer(a=6.0)
    for _ in range(6):
        assert one.hears({"a": 7}, 1.0, took=30.0) == ""
    assert [one.hears({"a": 7}, 1.0, took=30.0) for _ in range(2)] == ["", "a"]


def test_a_node_that_was_away_begins_anew() -> None:
    one = Observer(a=2.0)
    for counters in ({"a": 1}, {"a": 1}, {"a": 1}, {}, {"a": 1}, {"a": 1}):
        assert one.hears(counters, 0.4) == ""
