"""A job's options: what they may be, and the one line that says what is wrong."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poolq.common.durations import Moment
from poolq.errors import DurationError, OptionError
from poolq.jobs.options import DEFAULTS, OPTIONS, DispatchOptions, Options
from tests.unit.refusals import refusal

SECOND = 1_000_000
FUTURE = datetime(2100, 1, 1, tzinfo=UTC)


def changed(**given: object) -> Options:
    return DEFAULTS.changed(given, "jobs:A")


def test_the_defaults() -> None:
    assert Options() == Options("default", 0, 1, (), 3, "release", 0) == DEFAULTS


def test_the_keywords_are_the_options() -> None:
    assert tuple(DispatchOptions.__annotations__) == OPTIONS == Options.__struct_fields__


@pytest.mark.parametrize(
    ("option", "written", "read"),
    [
        ("queue", "emails", "emails"),
        ("queue", "high-priority.eu:1/ü", "high-priority.eu:1/ü"),
        ("queue", "q" * 128, "q" * 128),
        ("delay", None, 0),
        ("delay", 0, 0),
        ("delay", "+30 seconds", 30 * SECOND),
        ("delay", timedelta(minutes=1), 60 * SECOND),
        ("delay", "2020-01-01", "2020-01-01"),
        ("delay", -1, 0),
        ("retry_after", "+1 month", ("P1M",)),
        ("retry_after", ["1s", "1 year 1h"], (1_000_000, "P12MT3600S")),
        ("delay", FUTURE, FUTURE),
        ("attempts", 1, 1),
        ("attempts", 1_000_000, 1_000_000),
        ("retry_after", None, ()),
        ("retry_after", [], ()),
        ("retry_after", 0, ()),
        ("retry_after", "10s", (10 * SECOND,)),
        ("retry_after", ["1s", 10, timedelta(minutes=1)], (SECOND, 10 * SECOND, 60 * SECOND)),
        ("retry_after", ("now", "1m"), (0, 60 * SECOND)),
        ("max_crashes", 1, 1),
        ("on_limit", "park", "park"),
        ("timeout", None, 0),
        ("timeout", "30 seconds", 30 * SECOND),
    ],
)
def test_reads(option: str, written: object, read: object) -> None:
    assert getattr(changed(**{option: written}), option) == read


NAME = "it must have no spaces, commas or control characters"


@pytest.mark.parametrize(
    ("option", "written", "wrong"),
    [
        ("queue", "", "queue is empty; give it a name"),
        ("queue", None, "queue is None; it must be text"),
        ("queue", "a,b", f"queue is 'a,b'; {NAME}"),
        ("queue", "a b", f"queue is 'a b'; {NAME}"),
        ("queue", "a\u2003b", f"queue is 'a\\u2003b'; {NAME}"),
        ("queue", "\ud800", f"queue is '\\ud800'; {NAME}"),
        ("queue", "q" * 129, f"queue is '{'q' * 40}'…; at most 128 bytes are allowed"),
        ("queue", "ü" * 65, f"queue is '{'ü' * 40}'…; at most 128 bytes are allowed"),
        ("delay", "soonish", "delay is 'soonish'; write a duration such as '+30 seconds', a date"),
        ("attempts", 0, "attempts is 0; it must be a whole number from 1 to"),
        ("attempts", 1_000_001, "attempts is 1000001; it must be a whole number from 1 to 1000000"),
        ("max_crashes", 1_001, "max_crashes is 1001; it must be a whole number from 1 to 1000"),
        ("retry_after", [1] * 1_001, "retry_after has 1001 steps; at most 1000 are allowed"),
        ("retry_after", "tomorrow", "retry_after is 'tomorrow', which is a point in time"),
        ("retry_after", ["1s", "x"], "retry_after[1] is 'x'; write a number of seconds"),
        ("retry_after", [-1], "retry_after[0] is -1; a duration cannot be negative"),
        ("max_crashes", 0, "max_crashes is 0; it must be a whole number from 1 to"),
        ("on_limit", "wait", "on_limit is 'wait'; write 'release' or 'park'"),
        ("on_limit", None, "on_limit is None; write 'release' or 'park'"),
        ("timeout", "x", "timeout is 'x'; write a number of seconds"),
    ],
)
def test_refuses(option: str, written: object, wrong: str) -> None:
    refused = refusal(ValueError, lambda: changed(**{option: written}))
    assert refused.startswith(f"job jobs:A: {wrong}")


@pytest.mark.parametrize(
    ("option", "hint"),
    [
        ("dealy", "did you mean delay?"),
        ("retryAfter", "did you mean retry_after?"),
        ("attempt", "did you mean attempts?"),
        ("xyz", f"the options are {', '.join(OPTIONS)}; data belongs in the payload, a dict"),
    ],
)
def test_refuses_an_unknown_option(option: str, hint: str) -> None:
    refused = refusal(OptionError, lambda: changed(**{option: 1}))
    assert refused == f"job jobs:A: unknown option {option}; {hint}"


def test_changes_add_up_and_leave_the_old_ones_alone() -> None:
    first = changed(queue="emails", attempts=3)
    second = first.changed({"attempts": 5, "delay": "1s"}, "jobs:A")
    assert (second.queue, second.attempts, second.delay) == ("emails", 5, SECOND)
    assert (first.attempts, first.delay) == (3, 0)
    assert first.changed({}, "jobs:A") is first


def test_a_duration_is_due_after_now_and_a_point_in_time_at_it() -> None:
    assert changed(delay="30s").due("jobs:A") == (30 * SECOND, 0)
    assert changed().due("jobs:A") == (0, 0)
    at = round(FUTURE.timestamp()) * SECOND
    assert changed(delay=FUTURE).due("jobs:A") == (0, at)
    assert changed(delay="2100-01-01T00:00Z").due("jobs:A") == (0, at)


def test_tomorrow_is_the_day_after_each_dispatch() -> None:
    delay, at = changed(delay="tomorrow").due("jobs:A")
    day = timedelta(days=1)
    today = datetime.now().astimezone()
    assert delay == 0
    assert timedelta(0) < datetime.fromtimestamp(at / SECOND, UTC) - today <= day + day / 24


@given(
    st.dictionaries(st.sampled_from(OPTIONS), st.none() | st.text() | st.floats() | st.integers())
)
def test_any_value_is_read_or_refused(given: dict[str, Moment]) -> None:
    values: dict[str, Any] = dict(given)
    try:
        read = DEFAULTS.changed(values, "jobs:A")
    except (OptionError, DurationError) as error:
        assert len(str(error).splitlines()) == 1  # noqa: PT017  # some values are read
        read = DEFAULTS
    assert 1 <= read.attempts <= 1_000_000
    assert all(step >= 0 for step in read.retry_after)
