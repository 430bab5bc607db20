"""How long to wait before the next try."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from poolq.backoff import Backoff


def test_pauses_double_up_to_the_most() -> None:
    pauses = [Backoff(0.05, 1.0).pause(failures, 0.0) for failures in range(1, 8)]
    assert pauses == [0.05, 0.1, 0.2, 0.4, 0.8, 1.0, 1.0]


@given(st.integers(1, 100_000), st.floats(0, 1))
def test_a_pause_is_never_under_half_nor_over_the_most(failures: int, rand: float) -> None:
    whole = Backoff().pause(failures, 0.0)
    assert whole / 2 <= Backoff().pause(failures, rand) <= whole <= 5.0
