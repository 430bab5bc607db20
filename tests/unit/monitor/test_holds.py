"""Held keys in the status, the pane, the alerts, the metrics and the log, and why jobs wait."""

from __future__ import annotations

from poolq.dashboard.panes import PANES
from poolq.dashboard.screen_state import ScreenState
from poolq.engines.base import LimitUse, StoredJob
from poolq.jobs.limits import HeldKey, Rule, Window
from poolq.jobs.message import State
from poolq.keeper.limit_watch import LimitWatch
from poolq.log.events import Event, HoldBegan, HoldEnded, LimitBegan
from poolq.master import status as pool_status
from poolq.monitor import amounts, limit_status, prometheus
from poolq.monitor.alerts import alerts
from poolq.monitor.limit_status import HELD, HOLDS_BACK, LimitStatus
from poolq.monitor.snapshot import Snapshot
from poolq.monitor.wait_reasons import WaitFacts, reason
from tests.support import snapshots

SECOND = 1_000_000
LIMIT = LimitUse(
    Rule("stripe", 2, SECOND), Window(0, 0), 7, 0, slot_in=20 * SECOND, hold=20 * SECOND
)
OWN = LimitUse(HeldKey("stripe"), Window(0, 0), 1, 0, slot_in=20 * SECOND, hold=20 * SECOND)


def seen(*uses: LimitUse) -> tuple[LimitStatus, ...]:
    return tuple(map(limit_status.of_use, uses))


def test_a_held_limit_has_its_next_slot_after_the_hold() -> None:
    limit, own = seen(LIMIT, OWN)
    assert (limit.state, limit.hold, limit.next_slot) == (HELD, 20.0, 20.0)
    assert limit.empty_in == 20.0 + 3, "two in each second"
    assert (own.is_hold, own.state, own.next_slot, own.empty_in) == (True, HELD, 20.0, 20.0)
    assert (own.limit, own.window, own.allowed, own.waiting) == (0, 0.0, 0.0, 1)


def test_a_window_that_ends_after_the_hold_is_the_next_slot() -> None:
    use = LIMIT._replace(rule=Rule("stripe", 2, 60 * SECOND), window=Window(1, 2))
    (limit,) = seen(use._replace(resets_in=50 * SECOND))
    assert (limit.state, limit.next_slot) == (HELD, 50.0)


def test_a_hold_ends_between_two_observations() -> None:
    watch = LimitWatch()
    watched, _ = watch.observe(100.0, [LIMIT, OWN], {}, 9)
    assert {limit_status.later(one, 5.0).hold for one in watched} == {15.0}
    after = [limit_status.later(one, 21.0) for one in watched]
    assert {(one.state, one.hold, one.next_slot) for one in after} == {(HOLDS_BACK, 0.0, 0.0)}


def test_a_hold_is_an_event_when_it_begins_and_when_it_ends() -> None:
    watch, events = LimitWatch(), list[Event]()

    def look(now: float, *uses: LimitUse) -> None:
        events.extend(watch.observe(now, uses, {}, 9)[1])

    idle = LIMIT._replace(parked=0)
    look(100.0, OWN, idle)
    look(102.0, OWN._replace(hold=60 * SECOND), idle)
    assert events == [HoldBegan("stripe", 20.0, 1)]
    look(130.0)
    assert events[1:] == [HoldEnded("stripe", 30.0)]


def test_jobs_that_wait_for_a_hold_are_told_with_their_limit() -> None:
    _, events = LimitWatch().observe(100.0, [LIMIT, OWN], {}, 9)
    assert events == [HoldBegan("stripe", 20.0, 8), LimitBegan("stripe", 2, 1.0, 7)]


def test_the_pane_the_alerts_and_the_status_show_a_hold() -> None:
    limits = seen(LIMIT, OWN)
    pool = Snapshot(at=snapshots.AT, head=snapshots.head(), limits=limits)
    due = amounts.moment(snapshots.AT + 20, snapshots.AT)
    found = [one for one in alerts(pool) if one.subject == "limit stripe"]
    assert [(one.verdict, one.text) for one in found] == [
        ("held", f"no job starts until {due} (in 20s), 8 wait")
    ]
    pane = PANES["limits"]
    assert [pane.severity(one) for one in pane.rows(pool, ScreenState())] == ["warn", "warn"]
    assert [(one["state"], one["hold"]) for one in pool_status.limits_of(limits)] == [
        ("held", 20.0)
    ] * 2


def test_the_metrics_have_one_hold_for_each_key_and_no_limit_of_it() -> None:
    series = {name: dict(values) for name, values in prometheus.of_limits(seen(LIMIT, OWN)).items()}
    assert series["poolq_limit_hold_seconds"] == {("stripe",): 20.0}
    assert list(series["poolq_limit_next_slot_seconds"]) == [("stripe", "1")]
    assert list(series["poolq_limit_waiting"]) == [
        ("stripe", "1", "parked"), ("stripe", "1", "released"),
    ]  # fmt: skip


def test_a_parked_job_says_that_its_limit_is_held() -> None:
    due = amounts.clock(snapshots.AT + 20)
    job = StoredJob("1", "q", "parked", 0, b"", State(), limit="stripe")
    facts = WaitFacts(limits=seen(LIMIT, OWN))
    expected = f"limit stripe is held until {due} (in 20s), and 8 jobs wait for it"
    assert reason(job, "jobs:Pay", facts, snapshots.AT) == expected
    alone = WaitFacts(limits=seen(OWN))
    expected = f"limit stripe is held until {due} (in 20s), and 1 job waits for it"
    assert reason(job, "jobs:Pay", alone, snapshots.AT) == expected
    over = WaitFacts(limits=seen(OWN._replace(hold=0)))
    found = reason(job, "jobs:Pay", over, snapshots.AT)
    assert found == "no worker has booted yet; limit stripe has a free slot, and 1 job waits for it"
