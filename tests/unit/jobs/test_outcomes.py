"""What becomes of a claimed job, as values."""

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poolq.common.backoff import ExponentialPause
from poolq.jobs import outcomes
from poolq.jobs.limits import Rule
from poolq.jobs.message import Entry, Message, State, entries, with_entry
from poolq.jobs.outcomes import DISCARD, Bury, Failing, Release, ReleaseUntil
from poolq.jobs.retry_policy import ErrorRule

SECOND = 1_000_000
NEW = State()


def message(attempts: int = 3, max_crashes: int = 3) -> Message:
    return Message(1, "1", "jobs:A", "default", attempts=attempts, max_crashes=max_crashes)


def line(cause: str = "error", at: int = 0) -> Entry:
    return Entry(at, cause, "ValueError: no", 1)


def causes(state: State) -> list[str]:
    return [found.cause for found in entries(state.history)]


@pytest.mark.parametrize(
    ("steps", "delays"),
    [
        ((), [0, 0, 0]),
        ((SECOND,), [SECOND] * 3),
        ((1, 10, 60), [1, 10, 60, 60, 60]),
        ((0, 5), [0, 5, 5]),
    ],
)
def test_a_step_an_attempt_the_last_one_repeating(
    steps: tuple[int, ...], delays: list[int]
) -> None:
    assert [outcomes.backoff(steps, tries, 0) for tries in range(1, len(delays) + 1)] == delays


def test_a_step_of_months_begins_when_the_try_has_failed() -> None:
    failed = datetime(2026, 1, 31, 15)  # noqa: DTZ001  # local time, as a month is
    month = outcomes.backoff(("P1MT60S",), 1, round(failed.timestamp() * SECOND))
    assert failed + timedelta(microseconds=month) == datetime(2026, 2, 28, 15, 1)  # noqa: DTZ001


def test_a_counted_try_is_retried_until_attempts_are_used_up() -> None:
    first = outcomes.retry_or_fail(message(2), NEW, line(), 5)
    assert isinstance(first, Release)
    assert (first.delay, first.counter) == (5, "retried")
    assert (first.state.attempt, first.state.failing, causes(first.state)) == (1, 0, ["error"])
    last = outcomes.retry_or_fail(message(2), first.state, line("released"), 5)
    assert isinstance(last, Failing)
    assert (last.state.attempt, last.state.failing) == (2, 1)
    assert causes(last.state) == ["error", "released"]


def test_crashes_are_counted_apart() -> None:
    crashed = State(attempt=1, crashes=2)
    outcome = outcomes.retry_or_fail(message(3), crashed, line(), 0)
    assert (outcome.state.attempt, outcome.state.crashes) == (2, 2)


def test_a_limited_job_counts_a_try_and_waits_for_the_window() -> None:
    rule = Rule("mail", 2, SECOND)
    outcome = outcomes.hold_back(message(2), NEW, line("limited"), rule, 1000)
    assert isinstance(outcome, ReleaseUntil)
    assert (outcome.until, outcome.rule, outcome.state.attempt) == (1000, rule, 1)
    assert causes(outcome.state) == ["limited"]
    last = outcomes.hold_back(message(2), outcome.state, line("limited"), rule, 1000)
    assert isinstance(last, Failing)
    assert (last.state.attempt, last.state.failing) == (2, 1)


def test_an_unknown_job_waits_uncounted_and_is_buried_in_the_end() -> None:
    grace, at, state, waits = 600 * SECOND, 10**15, NEW, 0
    while True:
        outcome = outcomes.release_unknown(message(), state, line("unknown", at), grace)
        if isinstance(outcome, Bury):
            break
        assert outcome.counter == ""
        state, at, waits = outcome.state, at + outcome.delay, waits + 1
        assert (state.attempt, state.crashes, causes(state)) == (0, 0, ["unknown"])
    assert at - 10**15 == grace
    assert waits == grace / outcomes.UNKNOWN_RETRY_DELAY
    assert causes(outcome.state) == ["unknown", "unknown"]
    assert outcome.expires == 0


def test_a_buried_unknown_job_has_as_long_after_a_retry_as_before() -> None:
    late = Message(1, "1", "jobs:A", "default", expires=7 * SECOND)
    state = outcomes.release_unknown(late, NEW, line("unknown", 5), 0).state
    assert outcomes.release_unknown(late, state, line("unknown", 5), 0) == Bury(
        state._replace(history=with_entry(state.history, line("unknown", 5))), 7 * SECOND
    )


def test_an_unknown_job_that_was_known_meanwhile_waits_anew() -> None:
    state = outcomes.release_unknown(message(), NEW, line("unknown", 0), 10 * SECOND).state
    retried = outcomes.retry_or_fail(message(), state, line("error", 1), 0)
    again = outcomes.release_unknown(message(), retried.state, line("unknown", 10**15), 10 * SECOND)
    assert isinstance(again, Release)
    assert causes(again.state) == ["unknown", "error", "unknown"]


def test_what_a_later_poolq_has_stored_waits_uncounted_for_ever() -> None:
    state = NEW
    for at in range(3):
        outcome = outcomes.release_newer(state, line("newer", at * 10**15))
        assert (outcome.counter, outcome.delay) == ("", outcomes.UNKNOWN_RETRY_DELAY)
        state = outcome.state
        assert (state.attempt, state.crashes, causes(state)) == (0, 0, ["newer"])


def test_without_grace_an_unknown_job_is_looked_at_twice() -> None:
    first = outcomes.release_unknown(message(), NEW, line("unknown", 5), 0)
    assert isinstance(first, Release)
    assert first.delay == 0
    assert isinstance(outcomes.release_unknown(message(), first.state, line("unknown", 5), 0), Bury)


@pytest.mark.parametrize(
    ("state", "out", "spent"),
    [
        (State(crashes=0), False, False),
        (State(crashes=2), False, False),
        (State(crashes=3), True, False),
        (State(crashes=9), True, False),
        (State(crashes=3, failing=1), False, False),
        (State(failing=3), False, False),
        (State(failing=4), False, True),
    ],
)
def test_crashes_have_a_limit_in_run_and_in_the_hook(state: State, out: bool, spent: bool) -> None:
    assert outcomes.crashed_out(message(max_crashes=3), state) is out
    assert outcomes.hook_crashed_out(message(max_crashes=3), state) is spent


@given(st.integers(1, 30), st.lists(st.sampled_from(["error", "released", "limited", "timeout"])))
def test_never_more_tries_than_attempts(attempts: int, tries: list[str]) -> None:
    state = NEW
    for made, cause in enumerate(tries, 1):
        outcome = outcomes.retry_or_fail(message(attempts), state, line(cause), 0)
        assert outcome.state.attempt == made
        assert isinstance(outcome, Failing) is (made == attempts)
        if isinstance(outcome, Failing):
            break
        state = outcome.state


# ExponentialPause


def test_pauses_double_up_to_a_bound() -> None:
    pauses = [ExponentialPause().pause(failures, 0.0) for failures in range(1, 10)]
    assert pauses == [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]


@given(st.integers(1, 10**9), st.floats(0, 1))
def test_a_pause_is_jittered_and_bounded(failures: int, rand: float) -> None:
    pause = ExponentialPause().pause(failures, rand)
    assert 0.025 <= pause <= 5.0
    assert pause == pytest.approx(ExponentialPause().pause(failures, 0.0) * (1 - rand / 2))


def test_timeouts_in_a_row_back_off_whatever_the_message_asks_for() -> None:
    greedy = Message(1, "1", "jobs:A", "default", attempts=1_000_000)
    state, pauses = NEW, []
    for _ in range(12):
        pauses.append(outcomes.after_timeout(greedy, state, 0, 0.0) // SECOND)
        history = with_entry(state.history, line("timeout"))
        state = State(state.attempt + 1, history=history)
    assert pauses == [0, 1, 2, 4, 8, 16, 32, 60, 60, 60, 60, 60]
    other = State(state.attempt, history=with_entry(state.history, line("error")))
    assert outcomes.after_timeout(greedy, other, 0, 0.0) == 0
    slow = Message(1, "1", "jobs:A", "default", attempts=1_000_000, retry_after=(90 * SECOND,))
    assert outcomes.after_timeout(slow, state, 0, 0.0) == 90 * SECOND


def test_there_is_no_pause_after_the_last_attempt() -> None:
    state = State(2, history=with_entry(b"", line("timeout")))
    assert outcomes.after_timeout(message(3), state, 0, 0.0) == 0


# errors with rules, and snoozes


def test_a_rule_replaces_the_number_of_attempts_or_ends_the_job() -> None:
    used = State(attempt=2)
    longer = outcomes.retry_or_fail(message(3), used, line(), 5, ErrorRule(attempts=20))
    assert isinstance(longer, Release)
    assert longer.state.attempt == 3
    shorter = outcomes.retry_or_fail(message(3), NEW, line(), 5, ErrorRule(attempts=1))
    assert isinstance(shorter, Failing)
    failed = outcomes.retry_or_fail(message(3), NEW, line(), 5, ErrorRule("fail"))
    assert isinstance(failed, Failing)
    assert outcomes.retry_or_fail(message(1), NEW, line(), 5, ErrorRule("discard")) is DISCARD


@pytest.mark.parametrize("cause", ["error", "released", "limited"])
@pytest.mark.parametrize("later", [(), ("crash",), ("returned", "crash")])
def test_a_job_beyond_its_attempts_fails_unrun_only_after_a_timeout(
    cause: str, later: tuple[str, ...]
) -> None:
    history = b""
    for one in (cause, *later):
        history = with_entry(history, line(one))
    assert not outcomes.timed_out(message(3), State(7, history=history))
    history = b""
    for one in ("timeout", *later):
        history = with_entry(history, line(one))
    assert outcomes.timed_out(message(3), State(7, history=history))
    assert not outcomes.timed_out(message(8), State(7, history=history))


def test_a_thousand_snoozes_are_one_line_and_use_no_attempt() -> None:
    patient = Message(1, "1", "jobs:A", "default", attempts=3, retry_after=(1, 10, 60))
    state = State(1, history=with_entry(b"", line()))
    for number in range(1, 1_001):
        outcome, count = outcomes.snooze(patient, state, Entry(number, "snoozed"), 7)
        assert isinstance(outcome, Release)
        assert (outcome.delay, outcome.counter, count) == (7, "snoozed", number)
        state = outcome.state
    assert (state.attempt, state.crashes, state.failing) == (1, 0, 0)
    assert [(one.cause, one.count, one.at) for one in entries(state.history)] == [
        ("error", 0, 0),
        ("snoozed", 1_000, 1_000),
    ]
    rule = ErrorRule()
    assert outcomes.delay_after_error(patient, rule, state.attempt + 1, 0, 0.5) == 10


def test_too_many_snoozes_fail() -> None:
    bounded = Message(1, "1", "jobs:A", "default", attempts=3, max_snoozes=2)
    state = NEW
    for _ in range(2):
        outcome, _ = outcomes.snooze(bounded, state, line("snoozed"), 7)
        assert isinstance(outcome, Release)
        state = outcome.state
    outcome, count = outcomes.snooze(bounded, state, line("snoozed"), 7)
    assert isinstance(outcome, Failing)
    assert count == 3
    last = entries(outcome.state.history)[-1]
    assert (last.cause, last.error) == (
        "failed",
        "JobFailed: snoozed 3 times; max_snoozes is 2",
    )
