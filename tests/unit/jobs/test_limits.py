"""Rate limits as values: what may be declared, and the arithmetic of a fixed window."""

import dataclasses
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poolq import Limit
from poolq.errors import LimitError
from poolq.jobs.limits import MAX_MICROSECONDS, Rule, Window, take

SECOND = 1_000_000


@pytest.mark.parametrize(
    ("span", "micros"),
    [
        ({"seconds": 1}, SECOND),
        ({"seconds": 0.5}, SECOND // 2),
        ({"minutes": 5}, 300 * SECOND),
        ({"hours": 1}, 3600 * SECOND),
        ({"days": 1}, 86_400 * SECOND),
        ({"days": 36_525}, MAX_MICROSECONDS),
        ({"seconds": 1e-9}, 1),
    ],
)
def test_units(span: dict[str, Any], micros: int) -> None:
    assert Limit(10, **span).window == micros
    assert Limit.parse({"limit": 10, **span}, "jobs:A") == (Limit(10, **span),)


def test_the_key_defaults_to_the_jobs_name() -> None:
    assert Limit(2, seconds=1).rule("jobs:A") == Rule("jobs:A", 2, SECOND)
    assert Limit(2, seconds=1, key="user:1").rule("jobs:A") == Rule("user:1", 2, SECOND)


def test_a_limit_is_a_value() -> None:
    limit = Limit(2, seconds=1, key="k", jitter=0.5, on_limit="park")
    assert limit == Limit(2, seconds=1, key="k", jitter=0.5, on_limit="park")
    assert hash(limit) == hash(Limit(2, seconds=1, key="k", jitter=0.5, on_limit="park"))
    assert (limit.jitter, limit.on_limit) == (0.5, "park")
    with pytest.raises(dataclasses.FrozenInstanceError):
        limit.limit = 3  # type: ignore[misc]  # the point of the test


@pytest.mark.parametrize(
    ("given", "limits"),
    [
        (None, ()),
        ([], ()),
        (Limit(1, seconds=1), (Limit(1, seconds=1),)),
        ({"limit": 1, "hours": 2, "key": "k"}, (Limit(1, hours=2, key="k"),)),
        (
            [Limit(1, seconds=1), {"limit": 5, "minutes": 1}],
            (Limit(1, seconds=1), Limit(5, minutes=1)),
        ),
        ((Limit(1, seconds=1, key="a"), Limit(1, seconds=1)),) * 2,
        ({"limit": 1, "seconds": 1, "minutes": None}, (Limit(1, seconds=1),)),
    ],
)
def test_what_rate_limit_may_return(given: object, limits: tuple[Limit, ...]) -> None:
    assert Limit.parse(given, "jobs:A") == limits


UNIT_MICROSECONDS = "give exactly one of seconds, minutes, hours, days"
FIELDS = "use limit, seconds, minutes, hours, days, key, jitter, on_limit"


@pytest.mark.parametrize(
    ("given", "wrong"),
    [
        ({"limit": 10}, f"no unit given; {UNIT_MICROSECONDS}"),
        ({"limit": 10, "seconds": 1, "hours": 1}, f"seconds and hours given; {UNIT_MICROSECONDS}"),
        ({"seconds": 1}, "{'seconds': 1} has no 'limit'"),
        ({"limit": 0, "seconds": 1}, "limit is 0; it must be a whole number of 1 or more"),
        ({"limit": -1, "seconds": 1}, "limit is -1; it must be"),
        ({"limit": 1.5, "seconds": 1}, "limit is 1.5; it must be"),
        ({"limit": True, "seconds": 1}, "limit is True; it must be"),
        ({"limit": "10", "seconds": 1}, "limit is '10'; it must be"),
        ({"limit": 2**31, "seconds": 1}, "limit is 2147483648; it must be"),
        ({"limit": 1, "seconds": 0}, "seconds is 0; it must be a number above 0"),
        ({"limit": 1, "seconds": -1}, "seconds is -1; it must be a number above 0"),
        ({"limit": 1, "seconds": float("nan")}, "seconds is nan; it must be a number above 0"),
        ({"limit": 1, "seconds": "1"}, "seconds is '1'; it must be a number above 0"),
        ({"limit": 1, "seconds": True}, "seconds is True; it must be a number above 0"),
        ({"limit": 1, "seconds": float("inf")}, "seconds is inf; more than 100 years is not"),
        ({"limit": 1, "days": 36_526}, "days is 36526; more than 100 years is not allowed"),
        ({"limit": 1, "second": 1}, f"unknown second; {FIELDS}"),
        ({"limit": 1, "seconds": 1, 3: 4}, f"unknown 3; {FIELDS}"),
        ({"limit": 1, "seconds": 1, "key": ""}, "key is ''; it must be text of 1 to 255"),
        ({"limit": 1, "seconds": 1, "key": 7}, "key is 7; it must be text of 1 to 255"),
        (
            {"limit": 1, "seconds": 1, "key": "ü" * 128},
            f"key is '{'ü' * 40}'; it must be text of 1",
        ),
        (
            {"limit": 1, "seconds": 1, "key": "a\n"},
            "key is 'a\\n'; it must be text without control",
        ),
        ({"limit": 1, "seconds": 1, "key": "\ud800"}, "key is '\\ud800'; it must be text without"),
        ({"limit": 1, "seconds": 1, "jitter": 2}, "jitter is 2; it must be a share from 0 to 1"),
        (
            {"limit": 1, "seconds": 1, "jitter": "x"},
            "jitter is 'x'; it must be a share from 0 to 1",
        ),
        ({"limit": 1, "seconds": 1, "on_limit": "x"}, "on_limit is 'x'; write 'release' or 'park'"),
        (3, "3 is not a limit; return None, a Limit, a dict or a list of them"),
        ("10/s", "'10/s' is not a limit"),
        ([None], "None is not a limit"),
        ([[Limit(1, seconds=1)]], "[Limit(limit=1"),
        (
            [{"limit": 1, "seconds": 60}, {"limit": 2, "minutes": 1}],
            "two limits with the same key and window would share a counter",
        ),
        (
            [Limit(1, seconds=1), Limit(2, seconds=1, key="jobs:A")],
            "two limits with the same key and window would share a counter",
        ),
    ],
)
def test_what_makes_no_sense_is_refused_naming_the_job(given: object, wrong: str) -> None:
    with pytest.raises(LimitError) as caught:
        Limit.parse(given, "jobs:A")
    assert str(caught.value).startswith(f"rate_limit of jobs:A: {wrong}")
    assert len(str(caught.value).splitlines()) == 1
    assert isinstance(caught.value, ValueError)


def test_a_window_opens_with_its_first_start() -> None:
    rule = Rule("k", 2, SECOND)
    window, wait = take(rule, None, 100)
    assert (window, wait) == (Window(100, 1), 0)
    window, wait = take(rule, window, 100 + SECOND // 2)
    assert (window, wait) == (Window(100, 2), 0)
    window, wait = take(rule, window, 100 + SECOND - 1)
    assert (window, wait) == (Window(100, 2), 1)
    assert take(rule, window, 100 + SECOND) == (Window(100 + SECOND, 1), 0)


@given(st.integers(1, 5), st.integers(1, 50), st.lists(st.integers(0, 30), min_size=1, max_size=60))
def test_a_window_never_has_more_starts_than_the_limit(
    limit: int, span: int, steps: list[int]
) -> None:
    rule, window, now = Rule("k", limit, span), None, 0
    starts: dict[int, int] = {}
    for step in steps:
        now += step
        window, wait = take(rule, window, now)
        if wait == 0:
            starts[window.start] = starts.get(window.start, 0) + 1
            assert window.start <= now < window.start + span
        else:
            assert take(rule, window, now + wait) == (Window(now + wait, 1), 0)
            assert take(rule, window, now + wait - 1)[1] == 1
    assert max(starts.values()) <= limit
    opened = sorted(starts)
    assert all(later - earlier >= span for earlier, later in pairwise(opened))
