"""What is shown of a schedule: its state, its next tick, how late it is."""

from __future__ import annotations

import msgspec
import pytest

from poolq.engines.schedule_store import NEVER, Scheduled
from poolq.jobs import schedule_plan
from poolq.monitor import alerts, schedule_status
from poolq.monitor.prometheus import MAX_SCHEDULES, of_schedules
from poolq.monitor.schedule_status import ScheduleStatus
from tests.support import snapshots

SECOND = 1_000_000
NOW = 1_795_780_800 * SECOND
MESSAGE = b'{"v":1,"id":"%s","job":"jobs:A","queue":"q"}' % (b"0" * 32)

LATE = msgspec.structs.replace(snapshots.PING, state="late", late=75.0)


def stored(when: str = "10m", tz: str = "UTC", **more: object) -> Scheduled:
    spec = schedule_plan.encode(schedule_plan.make(when, MESSAGE, {"tz": tz}, "x"))
    made = Scheduled("a", "h", spec, NOW + SECOND, NOW + SECOND, ticks=3, last=NOW - SECOND)
    return made._replace(**more)  # type: ignore[arg-type]


def test_an_active_schedule_has_a_next_tick() -> None:
    assert schedule_status.of_schedule(stored(), NOW) == ScheduleStatus(
        "a", "every 10m", "", "jobs:A", "q", "active", NOW + SECOND, NOW - SECOND, 3
    )
    found = schedule_status.of_schedule(stored("0 3 * * *", "Asia/Tokyo"), NOW)
    assert (found.when, found.tz) == ("0 3 * * *", "Asia/Tokyo")


@pytest.mark.parametrize(
    ("more", "state", "late"),
    [
        ({"due": NOW - SECOND, "at": NOW - SECOND}, "active", 0),
        ({"due": NOW - 31 * SECOND, "at": NOW - 31 * SECOND}, "late", 31),
        ({"due": NOW - 31 * SECOND, "at": NOW + SECOND}, "waiting", 0),
        ({"due": NOW - 99 * SECOND, "at": NEVER, "paused": True}, "paused", 0),
        ({"due": NOW - 99 * SECOND, "at": NEVER}, "undeclared", 0),
        ({"spec": b"?"}, "unreadable", 0),
    ],
)
def test_each_state_has_its_reason(more: dict[str, object], state: str, late: float) -> None:
    found = schedule_status.of_schedule(stored(**more), NOW)
    assert (found.state, found.late) == (state, late)
    assert bool(found.next) == (state not in ("paused", "undeclared"))


def test_trouble_is_an_alert() -> None:
    unreadable = msgspec.structs.replace(snapshots.NIGHTLY, state="unreadable")
    pool = msgspec.structs.replace(
        snapshots.well(), schedules=(LATE, snapshots.NIGHTLY, unreadable)
    )
    assert [one[:3] for one in alerts.alerts(pool)] == [
        ("bad", "schedule ping", "late"),
        ("bad", "schedule shop.jobs:Report", "unreadable"),
    ]
    text = alerts.alerts(pool)[0].text
    assert text == "shop.jobs:Ping was due 1m15s ago, and no keeper has stored its job"


def test_metrics_name_the_schedules_that_are_due_next() -> None:
    found = of_schedules([LATE, snapshots.NIGHTLY])
    assert found["poolq_schedules"] == [(("late",), 1), (("active",), 1)]
    assert found["poolq_schedule_jobs"] == [(("ping",), 4000), (("shop.jobs:Report",), 31)]
    assert found["poolq_schedule_late_seconds"] == [(("ping",), 75), (("shop.jobs:Report",), 0)]
    many = of_schedules([LATE] * 200)
    assert len(list(many["poolq_schedule_jobs"])) == MAX_SCHEDULES
    assert many["poolq_schedules"] == [(("late",), 200)]
