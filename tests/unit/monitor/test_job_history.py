"""A job's attempts in words: people count them from 1."""

from __future__ import annotations

import pytest

from poolq.dashboard.queries import job_blocks
from poolq.engines.base import StoredJob
from poolq.jobs.message import Entry, Message, State, encode, entry
from poolq.monitor.job_history import attempts, last_error

BODY = encode(Message(v=1, id="1", job="jobs:Mail", queue="emails", payload={}, attempts=3))


def stored(status: str, state: State) -> StoredJob:
    return StoredJob("1", "emails", status, 0, BODY, state)


@pytest.mark.parametrize(
    ("status", "state", "text"),
    [("ready", State(), "next attempt 1 of 3"), ("delayed", State(1), "next attempt 2 of 3"),
     ("running", State(), "attempt 1 of 3"), ("running", State(2, 1), "attempt 3 of 3"),
     ("failed", State(3), "attempts 3 of 3 used"), ("failed", State(0), "attempts 0 of 3 used"),
     ("running", State(3, 0, 1), "attempts 3 of 3 used")],
)  # fmt: skip
def test_attempts_are_counted_from_one(status: str, state: State, text: str) -> None:
    assert " ".join(attempts(stored(status, state), 3)) == text
    assert f", {text}, crashes" in job_blocks(stored(status, state))["job"]


def test_the_maximum_of_an_unreadable_message_is_unknown() -> None:
    assert attempts(stored("running", State()), None) == ("attempt", "1 of ?")


@pytest.mark.parametrize(
    ("status", "crashes", "text"),
    [("failed", 3, "its worker died 3 times: worker 2 was killed"),
     ("failed", 1, "its worker died once: worker 2 was killed"),
     ("ready", 2, "worker 2 was killed")],
)  # fmt: skip
def test_the_error_of_a_job_says_that_its_workers_died(
    status: str, crashes: int, text: str
) -> None:
    history = entry(Entry(1, "crash", "worker 2 was killed"))
    assert last_error(stored(status, State(0, crashes, 0, history))) == text
    assert last_error(
        stored(status, State(1, 0, 0, entry(Entry(1, "error", "ValueError: x", 1))))
    ) == ("ValueError: x")
