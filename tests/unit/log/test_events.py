"""Every event in words: one line, with the job's name, id, queue, attempt and cause."""

from __future__ import annotations

import pytest

from poolq.log import events
from poolq.log.events import Event, describe, span
from poolq.log.line_filter import level_of

TRACE = 'Traceback (most recent call last):\n  File "jobs.py", line 3\nValueError: no luck\n'
WHERE = ("jobs:Mail", "0192", "emails")
JOB = "jobs:Mail 0192 queue=emails"
CASES: list[tuple[Event, str]] = [
    (events.Finished(*WHERE, 2, 0.0123), f"done {JOB} attempt=2 in 12.3 ms"),
    (events.Retried(*WHERE, 1, 3, 0.5, "error", "ValueError: no luck", 10.0, TRACE),
     f"retried {JOB} attempt=1/3 after 500.0 ms, again in 10.00 s (error): ValueError: no luck"),
    (events.Retried(*WHERE, 1, 3, 0.5, "released", "JobReleased: released by hand", 0.0),
     (f"retried {JOB} attempt=1/3 after 500.0 ms, again at once (released): JobReleased:"
      " released by hand")),
    (events.Failed(*WHERE, 3, 1.5, "error", "ValueError: no luck", TRACE),
     f"failed {JOB} attempt=3 after 1.50 s (error): ValueError: no luck"),
    (events.Discarded(*WHERE, 1, 0.5, "KeyError: gone"),
     f"discarded {JOB} attempt=1 after 500.0 ms: KeyError: gone"),
    (events.Snoozed(*WHERE, 1, 0.5, 300.0, 12),
     f"snoozed {JOB} attempt=1 after 500.0 ms, again in 5 min 0 s (snoozed 12 times so far)"),
    (events.Expired(*WHERE, 2, 90.0), f"expired {JOB} attempt=2, 1 min 30 s too late to be run"),
    (events.Limited(*WHERE, 1, "parked", "mail", 0.25),
     f"limited {JOB} attempt=1 parked by mail for 250.0 ms"),
    (events.Held(*WHERE, 1, 0.5, "mail", 30.0),
     f"held {JOB} attempt=1 after 500.0 ms: limit key mail is held for 30.00 s"),
    (events.Unknown(*WHERE, 5.0),
     (f"unknown {JOB}: no module of the application defines it; released for 5.00 s without"
      " using an attempt")),
    (events.Buried(*WHERE, "BadMessage: no JSON"), f"buried {JOB}: BadMessage: no JSON"),
    (events.HookFailed("jobs:Mail", "0192", "on_success", "ValueError: no luck", TRACE),
     "on_success of jobs:Mail 0192 raised; the outcome stands: ValueError: no luck"),
    (events.Stale("jobs:Mail", "0192"),
     ("warning: stale settlement of 0192 refused: the job was cancelled, or given to another"
      " worker")),
    (events.Returned(7), "returned 7 prefetched jobs to their queues: the running job is long"),
    (events.Crashed("0192", "worker 1 (pid 5) died"),
     "warning: recovered 0192, back at the head of its queue: worker 1 (pid 5) died"),
    (events.LimitBegan("mails", 2, 1.0, 172),
     "rate limit mails (2 per 1s) begins to hold jobs back; 172 waiting"),
    (events.LimitBegan("mails", 3, 5400.0, 0),
     "rate limit mails (3 per 1h30m) begins to hold jobs back"),
    (events.LimitBegan("mails", 3, 60.0, 0, sliding=True),
     "rate limit mails (3 in any 1m) begins to hold jobs back"),
    (events.LimitEnded("mails", 3, 60.0, 86.2, sliding=True),
     "rate limit mails (3 in any 1m) no longer holds jobs back, after 1 min 26 s"),
    (events.LimitEnded("mails", 2, 1.5, 86.2),
     "rate limit mails (2 per 1.5s) no longer holds jobs back, after 1 min 26 s"),
    (events.HoldBegan("mail", 30.0, 0), "limit key mail is held for 30.00 s"),
    (events.HoldBegan("mail", 30.0, 7), "limit key mail is held for 30.00 s; 7 waiting"),
    (events.HoldEnded("mail", 90.0), "limit key mail is no longer held, after 1 min 30 s"),
    (events.Cancelled("0192", "worker 1 (pid 7) died"),
     "cancelled 0192, which was running: worker 1 (pid 7) died"),
    (events.TimedOut("0192", "overran its 3 s"),
     "warning: recovered 0192, which timed out: overran its 3 s; its attempt is counted"),
    (events.Note("info", "SIGTERM: draining"), "SIGTERM: draining"),
    (events.Note("error", "no broker"), "error: no broker"),
    (events.Logged("error", "shop", "no mail", TRACE), "error: shop: no mail"),
    (events.Printed("stdout", "3 mails", more=True), "3 mails [continued]"),
]  # fmt: skip


@pytest.mark.parametrize(("event", "line"), CASES, ids=lambda one: type(one).__name__)
def test_each_event_is_one_line(event: Event, line: str) -> None:
    first, *further = describe(event).splitlines()
    assert first == line
    assert bool(further) == bool(getattr(event, "traceback", "")), "only a traceback goes on"
    assert level_of(first) == event.severity(), "a reader of the log can tell it by the first word"


def test_no_event_is_without_words() -> None:
    assert {type(event) for event, _ in CASES} == set(events.KINDS.values())


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0 µs"),
        (0.000085, "85 µs"),
        (0.0123, "12.3 ms"),
        (1.5, "1.50 s"),
        (125, "2 min 5 s"),
        (3600, "1 h 0 min"),
        (90061, "25 h 1 min"),
    ],
)
def test_durations_are_for_people(seconds: float, shown: str) -> None:
    assert span(seconds) == shown
