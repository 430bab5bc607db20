"""What is called trouble, and what not."""

from __future__ import annotations

import msgspec
import pytest

from poolq.view.screen.judging import findings, holds, last_slot, leaks, rule, stuck
from poolq.view.snapshot import Progress, Snapshot
from tests.support import snapshots
from tests.support.snapshots import MIB, busy, head


@pytest.mark.parametrize(
    ("running", "usual", "yes"),
    [(9.0, 0.1, False), (11.0, 0.1, True), (90.0, 10.0, False), (101.0, 10.0, True),
     (59.0, None, False), (61.0, None, True)],
)  # fmt: skip
def test_stuck_is_much_longer_than_usual(running: float, usual: float | None, yes: bool) -> None:
    assert stuck(busy(1, running=running, usual=usual)) is yes


def test_an_unknown_job_that_tells_its_progress_is_not_stuck() -> None:
    worker = busy(1, running=500.0, usual=None, progress=Progress(done=3, total=9))
    assert not stuck(worker)


def test_past_its_deadline_is_stuck() -> None:
    assert stuck(busy(1, running=1.0, usual=1.0, deadline=-0.1))


def test_an_idle_worker_is_never_stuck() -> None:
    assert not stuck(snapshots.idle(1))


@pytest.mark.parametrize(
    ("growth", "grown", "yes"),
    [(3 * MIB, 20 * MIB, True), (1 * MIB, 20 * MIB, False), (30 * MIB, 8 * MIB, False),
     (None, 99 * MIB, False)],
)  # fmt: skip
def test_leaking_is_growing_much_and_still(growth: float | None, grown: int, yes: bool) -> None:
    assert leaks(busy(1, growth=growth, grown=grown)) is yes


def test_a_limit_holds_until_its_next_slot() -> None:
    assert holds(snapshots.MAILS)
    assert not holds(snapshots.OPEN)
    assert last_slot(snapshots.MAILS) == pytest.approx(23.4 + 8 * 60)
    assert rule(snapshots.MAILS) == "10 per 1m"


def test_one_of_each_kind_comes_before_more_of_it() -> None:
    found = [one.verdict for one in findings(snapshots.hostile())]
    assert found[:4] == ["refused", "stuck", "used up", "paused"]


def test_a_broker_that_is_gone_and_a_paused_pool_are_told() -> None:
    at = snapshots.AT
    pool = Snapshot(at=at, head=head(reachable=False, state="paused"))
    assert [(one.subject, one.verdict) for one in findings(pool)] == [
        ("broker", "gone"), ("pool", "paused"),
    ]  # fmt: skip


def test_a_master_that_hangs_is_told() -> None:
    (found,) = findings(Snapshot(at=snapshots.AT, head=head(silence=12.0)))
    assert (found.subject, found.verdict) == ("master", "hangs")
    assert found.text.startswith("it has not moved for 12s")
    assert findings(Snapshot(at=snapshots.AT, head=head(silence=2.0))) == []


def test_a_slot_that_dies_again_and_again_is_told() -> None:
    worker = msgspec.structs.replace(snapshots.idle(1), restarts=5, age=2.0, done=0)
    found = findings(Snapshot(at=snapshots.AT, head=head(), workers=(worker,)))
    assert [one.verdict for one in found] == ["dies"]


def held(**more: object) -> list[str]:
    limit = msgspec.structs.replace(snapshots.MAILS, **more)
    pool = Snapshot(at=snapshots.AT, head=head(), limits=(limit,))
    return [f"{one.verdict}: {one.text}" for one in findings(pool)]


def test_what_a_limit_holds_back_is_told_also_between_two_windows() -> None:
    (full,) = held()
    assert full.startswith("used up: 84 wait until ")
    assert "(in 23s), allows 10 per 1m, last about " in full
    (over,) = held(used=0, next_slot=0.0, resets_in=None)
    assert over.startswith("used up: 84 wait, allows 10 per 1m, last about ")


def test_what_a_limit_puts_off_is_told() -> None:
    (full,) = held(waiting=0, held=40.0)
    assert full.startswith("used up: none starts until ")
    assert full.endswith(" (in 23s), allows 10 per 1m, 40.0 a minute put off")
    (over,) = held(waiting=0, held=40.0, used=3, next_slot=0.0, window=1.0)
    assert over == "slows: allows 10 per 1s, 40.0 a minute put off"
    assert held(waiting=0, held=40.0, used=3, next_slot=0.0) == [], "it is over"
    assert held(waiting=0, held=0.0) == held(waiting=0, held=None) == []


@pytest.mark.parametrize(
    ("busy", "left", "text"),
    [(2, 42.0, "2 jobs may finish; killed and given back in 42s"),
     (1, None, "1 job may finish, nothing new is taken"),
     (0, 42.0, "no job runs any more, so it ends at once")],
)  # fmt: skip
def test_a_drain_tells_what_it_waits_for(busy: int, left: float | None, text: str) -> None:
    pool = Snapshot(at=snapshots.AT, head=head(state="draining", busy=busy, drain_left=left))
    assert [one.text for one in findings(pool)] == [text]
