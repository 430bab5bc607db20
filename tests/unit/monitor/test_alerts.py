"""What counts as trouble, and what does not."""

from __future__ import annotations

import msgspec
import pytest

from poolq.engines.progress import JobProgress
from poolq.monitor.alerts import alerts, leaks, rule, stuck
from poolq.monitor.snapshot import EventView, QueueView, Snapshot
from tests.support import snapshots
from tests.support.snapshots import MIB, busy, head


@pytest.mark.parametrize(
    ("running", "usual", "yes"),
    [(9.0, 0.1, False), (11.0, 0.1, True), (90.0, 10.0, False), (101.0, 10.0, True),
     (59.0, None, False), (61.0, None, True)],
)  # fmt: skip
def test_stuck_is_much_longer_than_usual(running: float, usual: float | None, yes: bool) -> None:
    assert stuck(busy(1, running=running, usual=usual)) is yes


def test_stuck_is_past_a_deadline_but_neither_one_that_gets_on_nor_an_idle_one() -> None:
    assert stuck(busy(1, running=1.0, usual=1.0, deadline=-0.1))
    assert not stuck(busy(1, running=500.0, usual=None, progress=JobProgress(done=3, total=9)))
    assert not stuck(snapshots.idle(1))


@pytest.mark.parametrize(
    ("growth", "grown", "yes"),
    [(3 * MIB, 20 * MIB, True), (1 * MIB, 20 * MIB, False), (30 * MIB, 8 * MIB, False),
     (None, 99 * MIB, False)],
)  # fmt: skip
def test_leaking_is_growing_much_and_still(growth: float | None, grown: int, yes: bool) -> None:
    assert leaks(busy(1, growth=growth, grown=grown)) is yes


def test_a_limit_is_named_as_people_set_it() -> None:
    assert rule(snapshots.MAILS) == "10 per 1m"


def test_one_of_each_kind_comes_before_more_of_it() -> None:
    found = [one.verdict for one in alerts(snapshots.hostile())]
    assert found[:4] == ["refused", "stuck", "holds back", "paused"]


def test_an_engine_that_is_gone_and_a_paused_pool_are_told() -> None:
    at = snapshots.AT
    pool = Snapshot(at=at, head=head(reachable=False, state="paused"))
    assert [(one.subject, one.verdict) for one in alerts(pool)] == [
        ("engine", "gone"), ("pool", "paused"),
    ]  # fmt: skip


def test_a_master_that_hangs_is_told() -> None:
    (found,) = alerts(Snapshot(at=snapshots.AT, head=head(silence=12.0)))
    assert (found.subject, found.verdict) == ("master", "hangs")
    assert found.text.startswith("it has given no sign of life for 12s")
    assert alerts(Snapshot(at=snapshots.AT, head=head(silence=2.0))) == []


def test_a_slot_that_dies_again_and_again_is_told() -> None:
    worker = msgspec.structs.replace(snapshots.idle(1), restarts=5, age=2.0, done=0)
    found = alerts(Snapshot(at=snapshots.AT, head=head(), workers=(worker,)))
    assert [one.verdict for one in found] == ["dies"]


def held(**more: object) -> list[str]:
    limit = msgspec.structs.replace(snapshots.MAILS, **more)
    pool = Snapshot(at=snapshots.AT, head=head(), limits=(limit,))
    return [f"{one.verdict}: {one.text}" for one in alerts(pool)]


def test_what_a_limit_holds_back_is_told() -> None:
    (long,) = held()
    assert long.startswith("holds back: 84 wait until ")
    assert long.endswith(
        "(in 23s), starts 9.6/min of 10.0 allowed (10 per 1m), not empty for at least 8m23s"
    )
    (short,) = held(window=1.0, waiting=172, limit=2, starts=1.98, allowed=2.0, next_slot=0.3)
    assert short.startswith(
        "holds back: 172 wait, starts 2.0/s of 2.0 allowed (2 per 1s), not empty for "
    )
    (seldom,) = held(limit=3, window=3600.0, starts=0.0, allowed=3 / 3600)
    assert "starts 0/h of 3.0 allowed (3 per 1h)" in seldom


def test_what_a_limit_puts_off_is_told_while_it_does() -> None:
    (found,) = held(waiting=0, held=40.0, empty_in=None)
    assert found == (
        "holds back: 40.0 a minute are held back, starts 9.6/min of 10.0 allowed (10 per 1m)"
    )
    (just,) = held(waiting=0, held=0.0, empty_in=None)
    assert just == "holds back: starts 9.6/min of 10.0 allowed (10 per 1m)", "nothing of none"
    for state in ("full", "open", "idle"):
        assert held(waiting=0, held=40.0, state=state) == [], "it is over"


def shop(**more: object) -> list[str]:
    """A pool of 4 that is well except for this."""
    return [
        f"{one.level} {one.subject} {one.verdict}: {one.text}"
        for one in alerts(msgspec.structs.replace(snapshots.well(), **more))
    ]


def test_jobs_that_wait_for_busy_workers_are_told() -> None:
    late = snapshots.queue("emails", ready=1512, oldest=61.0, incoming=7.0, outgoing=70.0)
    queues = (snapshots.queue("default", ready=0, oldest=None), late)
    (found,) = shop(head=head(busy=4), queues=queues)
    assert found.startswith("warn pool behind: all 4 workers are busy, 1512 ready in emails, ")
    assert found.endswith(", the oldest for 1m01s")
    assert shop(head=head(busy=3), queues=queues)[0].startswith(
        "warn pool behind: 3 of 4 workers are busy, "
    ), "jobs end between two looks"
    gone = head(busy=4, reachable=False)
    assert not any("behind" in told for told in shop(head=gone, queues=queues)), "not for that"
    soon = msgspec.structs.replace(late, oldest=1.9)
    assert shop(head=head(busy=4), queues=(soon,)) == [], "they hardly wait"
    assert shop(head=head(busy=4, queues=("default",)), queues=queues) == [], "not this pool's"


def test_all_queues_that_wait_for_busy_workers_are_told_together() -> None:
    """Not the queue of the oldest job alone, which may hold few of them."""
    slow = snapshots.queue("slow", ready=3, oldest=70.0, incoming=0.0, outgoing=0.2)
    default = snapshots.queue("default", ready=72, oldest=61.0, incoming=4.0, outgoing=1.3)
    lost = snapshots.queue("lost", ready=9000, oldest=900.0, served=False)
    pool = head(procs=2, busy=2, queues=("slow", "default"))
    *_, found = shop(head=pool, queues=(lost, slow, default))
    assert found == (
        "warn pool behind: all 2 workers are busy, 75 ready in 2 queues, most in default, "
        "the oldest for 1m10s"
    )


def test_jobs_that_no_pool_takes_are_told() -> None:
    lost = snapshots.queue("lost", ready=436, oldest=33.0, served=False)
    pool = head(busy=0, queues=("default",))
    assert shop(head=pool, queues=(lost,)) == [
        "bad queue lost unserved: 436 jobs wait, the oldest for 33s; no pool takes this queue"
    ]
    assert shop(head=pool, queues=(snapshots.queue("old", ready=0, served=False),)) == []


def test_one_alert_names_the_fullest_of_the_queues_that_no_pool_takes() -> None:
    def tenant(number: int) -> QueueView:
        return snapshots.queue(f"t{number}", ready=number, oldest=10.0 + number, served=False)

    pool, two = head(busy=0, queues=("default",)), (tenant(1), tenant(2))
    text = "t2 and t1: 3 jobs wait, the oldest for 12s; no pool takes these queues"
    assert shop(head=pool, queues=two) == [f"bad 2 queues unserved: {text}"]
    many = tuple(map(tenant, range(1, 238)))
    (found,) = shop(head=pool, queues=many)
    assert found.startswith("bad 237 queues unserved: t237, t236, t235 and 234 more: ")
    (found,) = shop(head=pool, queues=many, left_out=4763)
    assert found.startswith("bad 237 or more queues unserved: ")


def test_unknown_jobs_are_told() -> None:
    def released(ago: float) -> tuple[EventView, ...]:
        at = snapshots.AT - ago
        return (EventView(at=at, level="warning", who="w", text="", unknown="shop:Old"),)

    (found,) = shop(events=released(2.0))
    assert found.startswith("bad job shop:Old unknown: jobs are released: no module ")
    assert shop(events=released(16.0)) == []


def test_a_paused_queue_is_told_also_when_nothing_waits_in_it() -> None:
    full = snapshots.queue("emails", paused=True, parked=4)
    empty = snapshots.queue("old", ready=0, delayed=0, paused=True)
    one = snapshots.queue("one", ready=1, delayed=0, paused=True)
    texts = {
        full: "emails paused: 12 ready and 7 delayed or parked jobs are not given out",
        empty: "old paused: 0 ready and 0 delayed or parked jobs are not given out",
        one: "one paused: 1 ready and 0 delayed or parked jobs are not given out",
    }
    for queue, text in texts.items():
        assert shop(queues=(queue,)) == [f"warn queue {text}"]
    both = "13 ready and 7 delayed or parked jobs are not given out"
    assert shop(queues=tuple(texts)) == [f"warn 3 queues paused: emails, one and old: {both}"]


@pytest.mark.parametrize(
    ("busy", "left", "text"),
    [(2, 42.0, "2 jobs may finish; they are killed and released in 42s"),
     (1, None, "1 job may finish, no new ones are claimed"),
     (0, 42.0, "no job is running, so it ends at once")],
)  # fmt: skip
def test_a_drain_tells_what_it_waits_for(busy: int, left: float | None, text: str) -> None:
    pool = Snapshot(at=snapshots.AT, head=head(state="draining", busy=busy, drain_left=left))
    assert [one.text for one in alerts(pool)] == [text]


def test_what_keeps_done_jobs_in_the_store_is_told() -> None:
    why = "session 812 (psql, idle in transaction) holds a snapshot for 480 s: …"
    (found,) = alerts(Snapshot(at=snapshots.AT, head=head(bloat=why)))
    assert found == ("warn", "database", "swells", why)
