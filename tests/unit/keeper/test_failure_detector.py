"""A node is silent after its own time to live, by the observer's time between its own beats."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from poolq.keeper.failure_detector import MIN_OBSERVATIONS, FailureDetector


class Observer:
    """Beats, and observes nodes with these times to live."""

    def __init__(self, **ttls: float) -> None:
        self.detector = FailureDetector()
        self.ttls = ttls
        self.now = 1000.0

    def beat(self, counters: Mapping[str, int], after: float = 1.0, took: float = 0.0) -> str:
        self.now += after
        begun, self.now = self.now, self.now + took
        return "".join(self.detector.observe(counters, self.ttls.__getitem__, begun, self.now))

    def moments(self, every: float, most: int = 3000) -> dict[str, float]:
        """After how many seconds each node is found silent, if none beats any more."""
        begun, found = self.now, {}
        counters = dict.fromkeys(self.ttls, 7)
        for _ in range(most):
            for node in self.beat(counters, every):
                found.setdefault(node, self.now - begun - every)
        return found


def test_each_node_is_judged_by_its_own_node_ttl() -> None:
    """This holds for any interval of the observer, and never before that time is over."""
    for every in (0.3, 0.33, 5.0):
        found = Observer(a=2.0, b=30.0, c=600.0).moments(every)
        assert list(found) == ["a", "b", "c"]
        for node, ttl in (("a", 2.0), ("b", 30.0), ("c", 600.0)):
            assert found[node] > ttl
            assert found[node] <= max(ttl + every, (MIN_OBSERVATIONS + 1) * every)


def test_a_node_that_beats_in_time_is_never_silent() -> None:
    """Two beats in that time suffice, also if the observer beats often."""
    one = Observer(a=30.0)
    for look in range(1000):
        assert one.beat({"a": look // 50}, 0.3) == ""


def test_any_other_counter_restarts_the_time() -> None:
    """A node that came back under its name counts from the beginning."""
    one = Observer(a=6.0)
    for counter in (9, 9, 9, 9, 9, 9, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2):
        assert one.beat({"a": counter}) == ""
    assert one.beat({"a": 2}) == "a"
    assert one.beat({"a": 2}) == "a", "until it is reaped"


@pytest.mark.parametrize("away", [2.0, 100.0, 1e9])
def test_an_outage_of_our_own_makes_no_node_silent(away: float) -> None:
    """Beats in that time were not seen, or not possible."""
    one = Observer(a=6.0)
    for _ in range(6):
        assert one.beat({"a": 7}) == ""
    one.detector.interrupted()
    assert one.beat({"a": 7}, away) == "", "the time away counts for nothing"
    assert one.beat({"a": 8}) == ""
    assert [one.beat({"a": 8}) for _ in range(7)] == [""] * 6 + ["a"]


def test_an_unnoticed_suspension_makes_no_node_silent() -> None:
    """The whole machine was suspended: that counts as one observation."""
    one = Observer(a=6.0, b=0.5)
    one.beat({"a": 7, "b": 1})
    assert one.beat({"a": 7, "b": 1}, 1e6) == ""
    assert one.beat({"a": 8, "b": 2}) == ""


def test_a_long_exchange_does_not_count_as_silence() -> None:
    """It is not known when the engine has read the counters."""
    one = Observer(a=6.0)
    for _ in range(6):
        assert one.beat({"a": 7}, 1.0, took=30.0) == ""
    assert [one.beat({"a": 7}, 1.0, took=30.0) for _ in range(2)] == ["", "a"]


def test_the_time_of_a_node_that_was_away_restarts() -> None:
    one = Observer(a=2.0)
    for counters in ({"a": 1}, {"a": 1}, {"a": 1}, {}, {"a": 1}, {"a": 1}):
        assert one.beat(counters, 0.4) == ""
