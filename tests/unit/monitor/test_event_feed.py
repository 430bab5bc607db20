"""The pool's recent events, from the memory of master, keeper and workers."""

from __future__ import annotations

from msgspec import structs

from poolq.dashboard.panes import PANES
from poolq.log.events import Note, Retried, Unknown
from poolq.monitor.event_feed import MAX_JOB_EVENTS, EventFeed
from poolq.scoreboard.board import Scoreboard


def retried(number: int) -> Retried:
    return Retried("jobs:A", f"{number:032x}", "q", 1, 3, 0.1, "error", "ValueError: x", 1.0)


def test_a_storm_of_retries_leaves_room_for_what_people_do() -> None:
    scores = Scoreboard(1)
    master, worker = scores.recent_events("master"), scores.recent_events("worker 1", 0)
    feed = EventFeed(scores)
    feed._rings[0] = scores.pages.notes(0).recent
    master.add(1.0, "master", Note("info", "poolq pause by alice: paused"))
    for number in range(200):
        feed.update([])
        worker.add(2.0 + 20 * number, "worker 1", retried(number))
        if number == 100:
            worker.add(2.5 + 20 * number, "worker 1", Unknown("jobs:B", "01", "q", 5.0))
    feed.update([])
    found = feed.events
    assert found[-1].text == "poolq pause by alice: paused"
    assert found[0].text.startswith("retried jobs:A, attempt 1 of 3")
    assert len(found) == MAX_JOB_EVENTS + 1


def test_a_burst_of_one_event_is_one_line() -> None:
    scores = Scoreboard(2)
    rings = [scores.recent_events(f"worker {row + 1}", row) for row in (0, 1)]
    feed = EventFeed(scores)
    feed._rings[0] = scores.pages.notes(0).recent
    feed._rings[1] = scores.pages.notes(1).recent
    for number in range(20):
        rings[number % 2].add(2.0 + number / 10, f"worker {1 + number % 2}", retried(number))
        if number == 7:
            rings[0].add(2.71, "worker 1", structs.replace(retried(99), job="jobs:B"))
            first = feed.update([]) or feed.events
    feed.update([])
    found = feed.events
    assert [(one.count, one.who) for one in found] == [(20, "workers"), (1, "worker 1")]
    assert found[0].text.startswith(
        "retried jobs:A \N{MULTIPLICATION SIGN}20, the last: attempt 1 of 3: ValueError: x"
    )
    assert (found[0].at, found[0].began, first[-1].began) == (2.0 + 19 / 10, 2.0, 2.0)
    key = PANES["events"].key
    assert key(found[0]) == key(first[-1]), "the selected row stays the same"
    rings[0].add(30.0, "worker 1", retried(21))
    feed.update([])
    assert [one.count for one in feed.events] == [1, 20, 1], "that was long after the burst"


def test_a_job_that_stays_unknown_is_one_event_each_time_that_it_begins() -> None:
    scores = Scoreboard(1)
    worker = scores.recent_events("worker 1", 0)
    feed = EventFeed(scores)
    feed._rings[0] = scores.pages.notes(0).recent
    for at in (100.0, 105.0, 115.0, 200.0, 205.0):
        worker.add(at, "worker 1", Unknown("jobs:B", "01", "q", 5.0))
    worker.add(206.0, "worker 1", Unknown("jobs:C", "02", "q", 5.0))
    worker.add(207.0, "worker 1", Unknown("jobs:D", "03", "q", 5.0, "a later poolq has stored it"))
    feed.update([])
    told = [(one.at, one.unknown, one.count) for one in feed.events]
    assert told == [
        (207.0, "", 1),
        (206.0, "jobs:C", 1),
        (205.0, "jobs:B", 2),
        (115.0, "jobs:B", 3),
    ]
