"""Trying again while an engine is away."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poolq.engines.retrying import Backoff, retrying
from poolq.errors import EngineError, EngineUnavailable


class Time:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


class Flaky:
    """Fails as often as it is told to, then returns "here"."""

    def __init__(self, failures: float, error: Exception | None = None) -> None:
        self.failures = failures
        self.error = error or EngineUnavailable("away")
        self.calls = 0

    def __call__(self) -> str:
        self.calls += 1
        if self.calls <= self.failures:
            raise self.error
        return "here"


def test_pauses_double_up_to_the_most() -> None:
    pauses = [Backoff(0.05, 1.0).pause(failures, 0.0) for failures in range(1, 8)]
    assert pauses == [0.05, 0.1, 0.2, 0.4, 0.8, 1.0, 1.0]


@given(st.integers(1, 100_000), st.floats(0, 1))
def test_a_pause_is_never_under_half_nor_over_the_most(failures: int, rand: float) -> None:
    whole = Backoff().pause(failures, 0.0)
    assert whole / 2 <= Backoff().pause(failures, rand) <= whole <= 5.0


def test_what_works_at_once_is_called_once() -> None:
    time = Time()
    call = Flaky(0)
    assert retrying(call, give_up_after=0.0, sleep=time.sleep, clock=time.clock) == "here"
    assert (call.calls, time.slept) == (1, [])


def test_it_is_repeated_until_it_works() -> None:
    time = Time()
    told: list[tuple[str, float]] = []
    answer = retrying(
        Flaky(3),
        give_up_after=None,
        notice=lambda error, pause: told.append((str(error), pause)),
        sleep=time.sleep,
        clock=time.clock,
        rand=lambda: 0.0,
    )
    assert answer == "here"
    assert time.slept == [0.05, 0.1, 0.2]
    assert told == [("away", 0.05), ("away", 0.1), ("away", 0.2)]


def test_it_is_never_given_up_where_none_is_said() -> None:
    time = Time()
    call = Flaky(10_000)
    assert retrying(call, give_up_after=None, sleep=time.sleep, clock=time.clock) == "here"
    assert call.calls == 10_001


def test_it_is_given_up_in_time_with_the_last_error() -> None:
    time = Time()
    call = Flaky(float("inf"), EngineUnavailable("still away"))
    with pytest.raises(EngineUnavailable, match="still away"):
        retrying(call, give_up_after=10.0, sleep=time.sleep, clock=time.clock)
    assert 5.0 < time.now - 100.0 <= 10.0


@pytest.mark.parametrize(
    "error",
    [
        EngineUnavailable("no answer", ids=["a"], maybe_stored=True),
        EngineError("nonsense"),
        ValueError("a bug"),
    ],
)
def test_other_errors_are_not_repeated(error: Exception) -> None:
    time = Time()
    call = Flaky(1, error)
    with pytest.raises(type(error)) as caught:
        retrying(call, give_up_after=None, sleep=time.sleep, clock=time.clock)
    assert caught.value is error
    assert (call.calls, time.slept) == (1, [])
