"""Rate limits as values: what may be declared, and the arithmetic of a fixed window."""

import dataclasses
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poolq import Limit
from poolq.engines.spans import span_of
from poolq.errors import CostError, LimitError
from poolq.jobs.limits import (
    MAX_MICROSECONDS,
    Rule,
    StartLog,
    parse,
    take,
)
from tests.unit.refusals import refusal

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
    assert parse({"limit": 10, **span}, "jobs:A") == (Limit(10, **span),)


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
        ([Limit(1, seconds=1), {"limit": 5, "minutes": 1}],
         (Limit(1, seconds=1), Limit(5, minutes=1))),
        ((Limit(1, seconds=1, key="a"), Limit(1, seconds=1)),) * 2,
        ({"limit": 1, "seconds": 1, "minutes": None}, (Limit(1, seconds=1),)),
    ],
)  # fmt: skip
def test_what_rate_limit_may_return(given: object, limits: tuple[Limit, ...]) -> None:
    assert parse(given, "jobs:A") == limits


UNIT_MICROSECONDS = "give exactly one of seconds, minutes, hours, days"
FIELDS = "use limit, seconds, minutes, hours, days, key, cost, sliding, jitter, on_limit"


@pytest.mark.parametrize(
    ("given", "wrong"),
    [
        ({"limit": 10}, f"no unit given; {UNIT_MICROSECONDS}"),
        ({"limit": 10, "seconds": 1, "hours": 1}, f"seconds and hours given; {UNIT_MICROSECONDS}"),
        ({"seconds": 1}, "{'seconds': 1} has no 'limit'"),
        ({"limit": 0, "seconds": 1}, "limit is 0; it must be a whole number from 1 to 2147483647"),
        ({"limit": 2**31, "seconds": 1},
         "limit is 2147483648; it must be a whole number from 1 to 2147"),
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
        ({"limit": 1, "seconds": 1, "key": "ü" * 128},
         f"key is '{'ü' * 59}…, 256 bytes; it must be text of 1"),
        ({"limit": 1, "seconds": 1, "key": "a\n"},
         "key is 'a\\n'; it must be text without control"),
        ({"limit": 1, "seconds": 1, "key": "\ud800"}, "key is '\\ud800'; it must be text without"),
        ({"limit": 1, "seconds": 1, "jitter": 2}, "jitter is 2; it must be a number from 0 to 1"),
        ({"limit": 1, "seconds": 1, "on_limit": "x"}, "on_limit is 'x'; write 'release' or 'park'"),
        ({"limit": 9, "seconds": 1, "cost": 0}, "cost is 0; it must be a whole number from 1"),
        ({"limit": 9, "seconds": 1, "sliding": 1}, "sliding is 1; it must be True or False"),
        ({"limit": 1001, "seconds": 1, "sliding": True},
         "limit is 1001; a sliding one is at most 1000, as each start is kept"),
        (3, "3 is not a limit; return None, a Limit, a Concurrent, a dict or a list of them"),
        ("10/s", "'10/s' is not a limit"),
        ([None], "None is not a limit"),
        ([[Limit(1, seconds=1)]], "[Limit(limit=1"),
        ([{"limit": 1, "seconds": 60}, {"limit": 2, "minutes": 1}],
         "two Limits with the key 'jobs:A' and a window of 60 s would share a counter"),
        ([Limit(1, seconds=1), Limit(2, seconds=1, key="jobs:A")],
         "two Limits with the key 'jobs:A' and a window of 1 s would share a counter"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_naming_the_job(given: object, wrong: str) -> None:
    refused = refusal(LimitError, lambda: parse(given, "jobs:A"))
    assert refused.startswith(f"rate_limit of jobs:A: {wrong}")


@given(st.integers(1, 5), st.integers(1, 50), st.lists(st.integers(0, 30), min_size=1, max_size=60))
def test_a_window_never_has_more_starts_than_the_limit(
    limit: int, span: int, steps: list[int]
) -> None:
    rule, now = Rule("k", limit, span), 0
    log: StartLog = ()
    starts: dict[int, int] = {}
    for step in steps:
        now += step
        log, wait = take(rule, log, now)
        ((opened, _),) = log
        if wait == 0:
            starts[opened] = starts.get(opened, 0) + 1
            assert opened <= now < opened + span
        else:
            assert take(rule, log, now + wait) == ([(now + wait, 1)], 0)
            assert take(rule, log, now + wait - 1)[1] == 1
    assert max(starts.values()) <= limit
    assert all(later - earlier >= span for earlier, later in pairwise(sorted(starts)))


def test_a_cost_above_the_limit_is_an_error_of_its_own() -> None:
    """It can never succeed, so the worker fails the job at once."""
    with pytest.raises(CostError, match="cost is 10, but the limit is 9"):
        Limit(9, seconds=1, cost=10)
    with pytest.raises(CostError, match="rate_limit of jobs:A: cost is 10"):
        parse({"limit": 9, "seconds": 1, "cost": 10}, "jobs:A")


def test_cost_and_sliding_reach_the_engine() -> None:
    rule = Limit(9, seconds=1, cost=4, sliding=True).rule("jobs:A")
    assert rule == Rule("jobs:A", 9, SECOND, 4, sliding=True)
    assert (span_of(rule), span_of(Rule("k", 9, SECOND))) == (-SECOND, SECOND)


@given(
    st.integers(1, 5),
    st.integers(1, 50),
    st.lists(st.tuples(st.integers(0, 30), st.integers(1, 5)), min_size=1, max_size=60),
)
def test_no_interval_of_the_windows_length_has_more_starts_than_a_sliding_limit(
    limit: int, span: int, steps: list[tuple[int, int]]
) -> None:
    log: StartLog = ()
    now, starts = 0, []
    for step, cost in steps:
        now += step
        rule = Rule("k", limit, span, cost, sliding=True)
        log, wait = take(rule, log, now)
        if wait == 0:
            starts.append((now, rule.counted))
        else:
            assert take(rule, log, now + wait)[1] == 0, "it may start after the wait"
            assert take(rule, log, now + wait - 1)[1] == 1, "and no sooner"
    for begin, _ in starts:
        assert sum(cost for at, cost in starts if begin <= at < begin + span) <= limit
