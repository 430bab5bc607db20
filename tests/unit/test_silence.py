"""Nodes are silent by the listener's own beats, never by a clock."""

from __future__ import annotations

from poolq.pool.silence import Silence


def test_a_node_is_silent_after_so_many_of_our_beats_without_one_of_its_own() -> None:
    silence = Silence(6)
    assert [silence.heard({"a": 7}) for _ in range(6)] == [[]] * 6
    assert silence.heard({"a": 7}) == ["a"]
    assert silence.heard({"a": 7}) == ["a"], "until somebody has reaped it"


def test_a_node_that_beats_is_never_silent() -> None:
    silence = Silence(3)
    for beat in range(20):
        assert silence.heard({"a": beat}) == []


def test_one_beat_begins_the_count_again() -> None:
    silence = Silence(3)
    for counter in (1, 1, 1, 2, 2, 2):
        assert silence.heard({"a": counter}) == []
    assert silence.heard({"a": 2}) == ["a"]


def test_any_other_counter_is_a_sign_of_life() -> None:
    """A node that came back under its name begins to count anew."""
    silence = Silence(2)
    for counter in (9, 9, 1, 1):
        assert silence.heard({"a": counter}) == []


def test_each_node_is_counted_for_itself() -> None:
    silence = Silence(2)
    assert silence.heard({"a": 1}) == []
    assert silence.heard({"a": 1, "b": 1}) == []
    assert silence.heard({"a": 1, "b": 1}) == ["a"]
    assert silence.heard({"a": 2, "b": 1}) == ["b"]


def test_our_own_outage_makes_nobody_silent() -> None:
    """What is not heard is not counted: only successful beats are looks."""
    silence = Silence(3)
    silence.heard({"a": 1})
    assert silence.heard({"a": 400}) == []


def test_a_node_that_was_away_begins_anew() -> None:
    silence = Silence(2)
    silence.heard({"a": 1})
    silence.heard({"a": 1})
    silence.heard({})
    assert silence.heard({"a": 1}) == []
    assert silence.heard({"a": 1}) == []
    assert silence.heard({"a": 1}) == ["a"]
