"""What a job may raise to hold a key, and what becomes of that inline."""

from __future__ import annotations

from datetime import timedelta

import pytest

import poolq
from poolq.engines.spans import HOLD_SPAN, span_of
from poolq.errors import DurationError, JobFailed, LimitError
from poolq.jobs.holds import Hold
from poolq.jobs.limits import Gate, HeldKey, Limit
from poolq.jobs.running import MAX_INLINE_SNOOZES
from tests.unit.refusals import refusal

attempts: list[int] = []


@pytest.mark.parametrize(
    ("length", "micros"),
    [("30s", 30_000_000), (0.5, 500_000), (timedelta(minutes=1), 60_000_000), ("30", 30_000_000),
     (0, 100_000)],
)  # fmt: skip
def test_a_hold_has_a_key_and_a_length(length: object, micros: int) -> None:
    hold = poolq.Hold("stripe", length)  # type: ignore[arg-type]
    assert (hold.key, hold.length) == ("stripe", micros)
    assert str(hold) == f"stripe is held for {micros / 1e6:g} s"
    assert not isinstance(hold, Exception), "except Exception must not catch it"


@pytest.mark.parametrize(
    ("key", "length", "error", "text"),
    [
        ("", "30s", LimitError, "key is ''; it must be text of 1 to 255 bytes"),
        (None, "30s", LimitError, "key is None; it must be text of 1 to 255 bytes"),
        ("k", "soon", DurationError, "the length of the hold is 'soon'"),
        ("k", -1, DurationError, "the length of the hold is -1; a duration cannot be negative"),
        ("k", None, DurationError, "the length of the hold is None"),
    ],
)
def test_nonsense_is_refused_in_one_line(
    key: object, length: object, error: type[Exception], text: str
) -> None:
    assert refusal(error, lambda: Hold(key, length)).startswith(text)  # type: ignore[arg-type]


def test_no_limit_has_the_line_of_a_hold() -> None:
    longest = Limit(1, days=36_525, key="k").rule("j")
    assert span_of(longest) < HOLD_SPAN == span_of(HeldKey("k")) < span_of(Gate("k", 1))


class Once(poolq.Job):
    name = "holds:Once"

    def run(self) -> str:
        attempts.append(self.attempt)
        if len(attempts) < 3:
            raise poolq.Hold("stripe", "1h")
        return "done"


class Always(poolq.Job):
    name = "holds:Always"

    def run(self) -> None:
        attempts.append(self.attempt)
        raise poolq.Hold("stripe", "1h")


def test_a_job_that_runs_inline_starts_again_at_once() -> None:
    attempts.clear()
    assert Once.dispatch_sync() == "done"
    assert attempts == [1, 1, 1]


def test_a_job_that_holds_forever_fails_inline() -> None:
    attempts.clear()
    with pytest.raises(JobFailed, match="without a delay"):
        Always.dispatch_sync()
    assert attempts == [1] * (MAX_INLINE_SNOOZES + 1)
