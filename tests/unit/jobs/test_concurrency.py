"""`Concurrent` as a value, and the mistakes that it names in one line."""

from __future__ import annotations

import pytest

from poolq import Concurrent, Job, Limit, LimitError, OptionError
from poolq.jobs.concurrency import GATE_WINDOW, gates_of, is_gate
from poolq.jobs.limits import MAX_LIMIT, Rule


def test_it_is_a_limit_of_its_own_kind_that_always_parks() -> None:
    limits = Limit.parse([Concurrent(2, key="tenant:7"), Limit(100, seconds=1)], "jobs:Load")
    assert [one.on_limit for one in limits] == ["park", None]
    rules = [one.rule("jobs:Load") for one in limits]
    assert rules[0] == Rule("tenant:7", 2, GATE_WINDOW)
    assert [is_gate(rule) for rule in rules] == [True, False]
    assert gates_of(rules) == rules[:1]


def test_the_key_is_the_jobs_name_unless_it_is_given() -> None:
    (limit,) = Limit.parse(Concurrent(1), "jobs:Load")
    assert limit.rule("jobs:Load").key == "jobs:Load"


def test_the_same_key_may_have_a_window_too() -> None:
    assert len(Limit.parse([Concurrent(1, key="k"), Limit(1, seconds=1, key="k")], "j")) == 2
    with pytest.raises(LimitError, match="rate_limit of j: two limits with the same key"):
        Limit.parse([Concurrent(1, key="k"), Concurrent(2, key="k")], "j")


@pytest.mark.parametrize("number", [0, -1, 1.5, "2", None, True, MAX_LIMIT + 1])
def test_a_number_that_makes_no_sense_is_named(number: object) -> None:
    with pytest.raises(LimitError) as caught:
        Concurrent(number)  # type: ignore[arg-type]
    assert str(caught.value) == (
        f"Concurrent({number!r}): the jobs that may run at once must be a whole number of 1 or more"
    )


@pytest.mark.parametrize("key", ["", "a\n", "x" * 256, 7])
def test_a_key_that_no_engine_can_store_is_named(key: object) -> None:
    with pytest.raises(LimitError, match="key is"):
        Concurrent(1, key=key)  # type: ignore[arg-type]


def test_it_is_shown_as_it_is_written() -> None:
    assert repr(Concurrent(2, key="tenant:7")) == "Concurrent(2, key='tenant:7')"
    assert repr(Concurrent(1)) == "Concurrent(1)"
    with pytest.raises(OptionError, match=r"rate_limit is Concurrent\(1\); it must be a method"):

        class Alone(Job):
            rate_limit = Concurrent(1)  # type: ignore[assignment]  # this is the mistake
