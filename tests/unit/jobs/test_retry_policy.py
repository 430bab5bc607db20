"""Delays between attempts, and what errors mean."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

import poolq
from poolq import Backoff, DurationError, Job, OptionError, Retry
from poolq.jobs import outcomes
from poolq.jobs.job import error_rule, hooks, options_of
from poolq.jobs.message import Message, decode
from poolq.jobs.message_template import MessageTemplate
from poolq.jobs.options import Options
from poolq.jobs.retry_policy import ErrorRule, read_rules, read_steps, rule_of
from tests.unit.refusals import refusal

SECOND = 1_000_000


def test_a_backoff_grows_up_to_most() -> None:
    assert Backoff("1s", factor=2, most="10s").steps() == tuple(
        SECOND * n for n in (1, 2, 4, 8, 10)
    )
    assert Backoff("1s", factor=1).steps() == (SECOND,)
    assert Backoff("1s").steps()[-1] == 86_400 * SECOND


@given(
    st.integers(1, 3_600),
    st.floats(1, 1_000),
    st.integers(1, 100_000),
    st.floats(0, 1),
    st.integers(1, 2_000),
    st.floats(0, 1),
)
def test_each_delay_is_at_most_most_plus_its_jitter(
    first: int, factor: float, more: int, jitter: float, attempt: int, rand: float
) -> None:
    most = first + more
    policy = Backoff(first, factor=factor, most=most, jitter=jitter)
    message = Message(1, "1", "jobs:A", "q", retry_after=policy.steps(), jitter=jitter)
    plain = outcomes.backoff(message.retry_after, attempt, 0)
    assert first * SECOND <= plain <= most * SECOND
    delay = outcomes.delay_after_error(message, ErrorRule(), attempt, 0, rand)
    assert plain <= delay <= plain + plain * jitter


def test_ten_thousand_retries_of_one_moment_spread_evenly() -> None:
    message = Message(1, "1", "jobs:A", "q", retry_after=(60 * SECOND,), jitter=0.5)
    random = Random(7)
    delays = [
        outcomes.delay_after_error(message, ErrorRule(), 1, 0, random.random())
        for _ in range(10_000)
    ]
    by_second = Counter(delay // SECOND - 60 for delay in delays)
    assert sorted(by_second) == list(range(30))
    assert all(250 <= jobs <= 420 for jobs in by_second.values()), by_second


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: Backoff("1s", factor=0),
         "Backoff: factor is 0; it must be a number from 1 to 1,000"),
        (lambda: Backoff(0), "Backoff: first is 0; it must be longer than 0"),
        (lambda: Backoff("1h", most="1s"), "Backoff: first, '1h', is longer than most, '1s'"),
        (lambda: Backoff("1s", jitter=2), "Backoff: jitter is 2; it must be a number from 0 to 1"),
        (lambda: Backoff("soon"), "Backoff: first is 'soon'; write a number of seconds, "),
        (lambda: Retry(attempts=0), "Retry: attempts is 0; it must be a whole number from 1 to "),
        (lambda: Retry(after="never"), "Retry: after is 'never'; write a number of seconds, "),
    ],
)  # fmt: skip
def test_nonsense_is_one_clear_line(make: Callable[[], object], error: str) -> None:
    assert refusal((OptionError, DurationError), make).startswith(error)


@pytest.mark.parametrize(
    ("members", "error"),
    [
        ({"retry_on": {ValueError: "drop"}}, "retry_on[ValueError] is 'drop'; write Retry(…), "),
        ({"retry_on": {"ValueError": "fail"}}, "retry_on has the key 'ValueError'; its keys are "),
        ({"retry_on": [ValueError]}, "retry_on is [<class 'ValueError'>]; write a dict such as "),
        ({"retry": 3}, "retry is 3; it must be a method"),
        ({"jitter": 1.5}, "jitter is 1.5; it must be a number from 0 to 1"),
        ({"max_snoozes": 0}, "max_snoozes is 0; it must be a whole number from 1 to 1000000"),
        ({"expires": 0}, "expires is 0; write a duration above 0, or None for never"),
        ({"expires": "soon"}, "expires is 'soon'; "),
        ({"expires": -1}, "expires is -1; a duration cannot be negative"),
        ({"on_expired": 3}, "on_expired is 3; it must be a method"),
        ({"retry_after": Backoff("1s", jitter=0.1), "jitter": 0.2},
         "jitter is given twice; leave it to the Backoff"),
    ],
)  # fmt: skip
def test_a_class_with_nonsense_is_rejected(members: dict[str, object], error: str) -> None:
    members["run"] = lambda _: None
    assert error in refusal(OptionError, lambda: type("Bad", (Job,), members))


def test_the_options_of_a_backoff_are_stored() -> None:
    class Charge(Job):
        retry_after = Backoff("1s", most="4s", jitter=0.2)
        max_snoozes = 5

        def run(self) -> None: ...

    body = MessageTemplate("jobs:Charge", options_of(Charge)).push({}, 1 << 20).body
    message = decode(body)
    assert message.retry_after == (SECOND, 2 * SECOND, 4 * SECOND)
    assert (message.jitter, message.max_snoozes) == (0.2, 5)
    changed = options_of(Charge).changed({"retry_after": "9s"}, "Charge")
    assert (changed.retry_after, changed.jitter) == ((9 * SECOND,), 0.2)
    plain = MessageTemplate("jobs:A", Options()).push({}, 1 << 20).body
    assert b"jitter" not in plain
    assert b"max_snoozes" not in plain


class NotFoundError(LookupError): ...


def test_the_nearest_class_wins_whatever_the_order_of_the_dict() -> None:
    given = {Exception: "fail", LookupError: Retry(attempts=9, after=["1s", "2s"])}
    rules = read_rules(given, "retry_on")
    assert rule_of(rules, NotFoundError()) == ErrorRule("retry", 9, (SECOND, 2 * SECOND))
    assert rule_of(rules, ValueError()) == ErrorRule("fail")
    assert rule_of(rules, SystemExit()) == ErrorRule()
    nearer = read_rules({**given, NotFoundError: "discard"}, "retry_on")
    assert rule_of(nearer, NotFoundError()) == ErrorRule("discard")


def test_a_retry_by_backoff_brings_its_own_jitter() -> None:
    rules = read_rules({OSError: Retry(after=Backoff("1s", most="1s", jitter=1))}, "retry_on")
    message = Message(1, "1", "jobs:A", "q", retry_after=(9 * SECOND,), jitter=0.0)
    rule = rule_of(rules, ConnectionError())
    assert outcomes.delay_after_error(message, rule, 1, 0, 0.5) == 1_500_000


def test_retry_decides_first_and_retry_on_if_it_says_nothing_or_raises() -> None:
    class Careful(Job):
        retry_on = {LookupError: "discard"}  # noqa: RUF012

        def run(self) -> None: ...

        def retry(self, error: BaseException) -> str | None:
            assert poolq.current() is self
            answers = {"1": "5m", "2": "fail", "3": None, "4": "whenever", "6": "+1 month"}
            return answers[error.args[0]]

    found = [error_rule(Careful(), hooks(Careful), KeyError(str(n))) for n in range(1, 7)]
    assert found[:3] == [
        (ErrorRule(steps=(300 * SECOND,)), ""),
        (ErrorRule("fail"), ""),
        (ErrorRule("discard"), ""),
    ]
    assert found[3][0] == found[4][0] == ErrorRule("discard")
    assert found[3][1].startswith("OptionError: ")
    assert found[4][1] == "KeyError: '5'"
    assert found[5] == (ErrorRule(steps=read_steps("+1 month", "retry_after")), "")
