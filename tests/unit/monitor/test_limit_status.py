"""The status of rate limits follows from what the engine counts, and is the same everywhere."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poolq.dashboard.panes import PANES
from poolq.engines.base import LimitUse
from poolq.jobs.concurrency import GATE_WINDOW
from poolq.jobs.limits import Rule, Window
from poolq.keeper.limit_watch import FORGET_AFTER, MAX_WATCHED, RELEASE_AFTER, LimitWatch
from poolq.log.events import Event, LimitBegan, LimitEnded, Note
from poolq.master import status as pool_status
from poolq.monitor import limit_status, prometheus
from poolq.monitor.alerts import alerts, rule
from poolq.monitor.broker_status import BrokerStatus
from poolq.monitor.limit_status import HOLDS_BACK, LimitStatus, ObservedLimit, status
from poolq.monitor.snapshot import Snapshot
from tests.support import snapshots

SECOND = 1_000_000
START = 1_764_000_000 * SECOND


def watched(**more: object) -> ObservedLimit:
    given: dict[str, object] = {
        "key": "Mail", "limit": 2, "window": SECOND, "used": 2, "left": 700_000, "parked": 172,
        "released": 0, "starts": 2.0, "held": 0.0, "spark": (), "since": 1.0,
        "quiet": 0.0,
    }  # fmt: skip
    return ObservedLimit(**{**given, **more})  # type: ignore[arg-type]


# at a moment


@pytest.mark.parametrize("passed", [0.0, 0.3, 0.69, 0.71, 1.5, 1.99, 4.2])
def test_short_windows_follow_one_another_between_two_looks(passed: float) -> None:
    found = status(watched(), passed)
    assert (found.state, found.waiting) == (HOLDS_BACK, 172)
    assert (found.starts, found.allowed) == (2.0, 2.0)
    assert found.used == 2
    assert found.next_slot == pytest.approx((0.7 - passed) % 1.0)
    assert found.next_slot == found.resets_in
    assert found.empty_in == pytest.approx(found.next_slot + 85)


def test_a_window_that_ended_with_few_waiting_has_room() -> None:
    found = status(watched(parked=3), 1.8)
    assert (found.used, found.next_slot) == (1, 0.0)
    assert (status(watched(parked=3), 0.8).used, status(watched(parked=3), 4.0).used) == (2, 0)


def test_a_limit_that_a_person_has_set_shows_the_one_in_the_code() -> None:
    found = status(watched(limit=5, declared=2), 0.0)
    assert (found.limit, found.declared, found.allowed) == (5, 2, 5.0)
    assert dict(prometheus.of_limits([found]))["poolq_limit_set"] == [(("Mail", "1"), True)]
    use = LimitUse(Rule("Mail", 5, SECOND), Window(START, 1), 0, SECOND, declared=0)
    assert status(LimitWatch().observe(1.0, START, [use], {}, {}, 9)[0][0], 0.0).declared == 0


@pytest.mark.parametrize(
    ("passed", "parked", "used", "resets_in"),
    [(0.1, 0, 2, 0.6), (0.8, 0, 2, 0.0), (1.8, 0, 0, None), (9.9, 5, 2, 0.0)],
)
def test_starts_leave_a_sliding_window_one_by_one(
    passed: float, parked: int, used: int, resets_in: float | None
) -> None:
    """When the others leave is not known; while jobs wait, they take the place of those."""
    found = status(watched(sliding=True, parked=parked, since=1.0 if parked else None), passed)
    assert (found.used, found.resets_in) == (used, resets_in and pytest.approx(resets_in))
    assert rule(found) == "2 in any 1s"


def test_jobs_that_were_released_wait_as_those_in_line_do() -> None:
    found = status(watched(parked=0, released=170), 0.0)
    assert (found.waiting, found.released, found.state) == (170, 170, HOLDS_BACK)


@pytest.mark.parametrize(
    ("more", "state"),
    [({"since": None, "parked": 0}, "full"), ({"since": None, "parked": 0, "used": 1}, "open"),
     ({"since": None, "parked": 0, "used": 0, "left": 0}, "idle"),
     ({"parked": 0, "used": 0, "left": 0}, HOLDS_BACK)],
)  # fmt: skip
def test_its_state_in_a_word(more: dict[str, object], state: str) -> None:
    assert status(watched(**more), 0.0).state == state


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 9), st.integers(0, 9), st.floats(0.1, 10.0), st.integers(1, 60))
def test_no_worker_can_empty_it_sooner_than_it_says(
    limit: int, used: int, left: float, waiting: int
) -> None:
    """However many workers there are, and whatever comes besides."""
    used = min(limit, used)
    seen = watched(limit=limit, used=used, left=round(left * SECOND), window=10 * SECOND,
                   parked=waiting, starts=0.01)  # fmt: skip
    at, slots = 0.0, limit - used
    while waiting > slots:
        waiting -= slots
        at, slots = left if not at else at + 10.0, limit
    assert status(seen, 0.0).empty_in == pytest.approx(at, abs=1e-5)


def watches() -> st.SearchStrategy[ObservedLimit]:
    window = st.sampled_from([1000, SECOND, 60 * SECOND, 86_400 * SECOND, 10**18])
    count, less = st.integers(0, 500), st.floats(0, 1000)
    made = st.builds(
        ObservedLimit, st.sampled_from(["Mail", "user:1", "a \"b\" \x1b"]), st.integers(1, 100),
        window, count, st.integers(0, 10**18), count, count, less, st.none() | less, st.just(()),
        st.none() | less, less, count,
    )  # fmt: skip
    return made.map(_possible)


def _possible(one: ObservedLimit) -> ObservedLimit:
    """Limits as the keeper writes them."""
    left = min(one.left, one.window)
    blocks = one.released or (one.parked and left and one.used >= one.limit)
    since = one.since or 1.0 if blocks else one.since
    return ObservedLimit(
        one.key, one.limit, one.window, min(one.used, one.limit) if left else 0, left, one.parked,
        one.released, min(one.starts, one.limit * SECOND / one.window), one.held, one.spark,
        since, one.quiet, one.last_tries,
    )  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(
    st.lists(watches(), max_size=8, unique_by=lambda one: (one.key, one.window)), st.floats(0, 9)
)
def test_pane_alert_status_and_metrics_cannot_disagree(
    some: list[ObservedLimit], passed: float
) -> None:
    limits = tuple(status(one, passed) for one in some)
    pool = Snapshot(at=snapshots.AT, head=snapshots.head(), limits=limits)
    pane = PANES["limits"]
    subjects = [one.subject for one in alerts(pool) if one.verdict == HOLDS_BACK]
    rows = [one for one in pane.rows(pool) if pane.severity(one)]
    assert sorted(subjects) == sorted(f"limit {one.key}" for one in rows)
    listed = pool_status.limits_of(limits)
    assert [one["key"] for one in listed if one["state"] == HOLDS_BACK] == [one.key for one in rows]
    series = {name: dict(values) for name, values in prometheus.of_limits(limits).items()}
    for one, answer in zip(limits, listed, strict=True):
        name = (one.key, f"{one.window:g}")
        assert series["poolq_limit_holds_back"][name] == (one.state == HOLDS_BACK)
        assert answer["waiting"] == sum(
            series["poolq_limit_waiting"][*name, how] for how in ("parked", "released")
        )
        assert series["poolq_limit_starts_per_second"][name] == answer["starts"] == one.starts
        assert series["poolq_limit_next_slot_seconds"][name] == answer["next_slot"]
        assert 0 <= one.used <= one.limit
        assert one.starts <= one.allowed
        assert (one.waiting == 0) <= (one.empty_in is None)
        assert one.next_slot <= one.window
        assert one.holds_back or not one.waiting or one.has_free_slot


# from look to look


def use(clock: int, start: int, used: int, *, wait: int = 0, off: int = 0, **more: int) -> LimitUse:
    """2 a second, or as `more` says; `wait` jobs in line, `off` released."""
    window = more.get("window", SECOND)
    resets_in = max(0, start + window - clock) if used else 0
    rule = Rule("Mail", more.get("limit", 2), window)
    return LimitUse(rule, Window(start, used), wait, resets_in, off, more.get("starts", -1))


class World:
    """A watch that observes every 2 seconds."""

    def __init__(self) -> None:
        self.watch = LimitWatch()
        self.now = 100.0
        self.events: list[Event] = []
        self.held: dict[str, int] = {}

    @property
    def clock(self) -> int:
        return START + round(self.now * SECOND)

    def look(self, *uses: LimitUse) -> LimitStatus | None:
        found, events = self.watch.observe(self.now, self.clock, uses, self.held, {}, 10)
        self.events += events
        self.now += 2.0
        return status(found[0], 0.0) if found else None


@pytest.mark.parametrize("counted", [True, False], ids=["counted", "estimated"])
def test_starts_of_short_windows_are_those_allowed_while_jobs_wait(counted: bool) -> None:
    """The engine is observed every other window. One opens a moment after the last has ended."""
    world, found, length = World(), None, SECOND + 3000
    begun = world.clock - 10_000
    for _ in range(30):
        number = (world.clock - begun) // length
        start = begun + number * length
        total = {"starts": 2 * number + 2} if counted else {}
        open_ = 2 if world.clock < start + SECOND else 0
        found = world.look(use(world.clock, start, open_, wait=200 - 2 * number, **total))
        assert found is not None
        assert 1.9 < found.starts <= 2.0, number
        assert (found.state, found.waiting) == (HOLDS_BACK, 200 - 2 * number)


def test_starts_are_never_said_to_be_more_than_allowed_and_end() -> None:
    world, window = World(), {"window": 60 * SECOND, "limit": 10}
    first = world.clock
    found = world.look(use(world.clock, first, 10, **window))
    assert found is not None
    assert found.starts == pytest.approx(10 / 60)
    for _ in range(29):
        found = world.look(use(world.clock, first, 10, **window))
    assert found is not None
    assert found.starts == pytest.approx(10 / 60)
    for turn in range(30):
        found = world.look(*[use(world.clock, first, 10, **window)][turn:])
        assert found is not None
        assert found.starts <= 10 / 60
    assert found.state == "idle"


def test_totals_only_grow() -> None:
    """Whatever the engine counts, a window closes, and a worker forgets a key."""
    world, seen = World(), []
    looks = [(1, 0, 5, 1), (2, 1, 6, 4), (3, 1, 8, 2), (0, 0, 0, 3), (1, 4, 9, 3)]
    for used, held, starts, off in looks:
        world.held = {"Mail": held}
        look = [use(world.clock, world.clock, used, off=off, starts=starts)] if used else []
        found = world.look(*look)
        assert found is not None
        seen.append((found.starts_total, found.held_total))
    assert seen == [(1, 0), (2, 1), (4, 1), (4, 1), (5, 5)]


def test_a_clock_that_goes_back_begins_anew() -> None:
    world = World()
    for _ in range(5):
        world.look(use(world.clock, world.clock, 2, wait=9))
    for turn in range(5):
        clock = world.clock - 3600 * SECOND
        found, _ = world.watch.observe(world.now, clock, [use(clock, clock, 2, wait=9)], {}, {}, 9)
        world.now += 2.0
        assert 0 < found[0].starts <= 2.0, turn


def test_a_limit_stays_for_a_minute_after_its_last_use() -> None:
    world = World()
    assert world.look() is None
    world.held = {"Mail": 22}
    last = world.now
    found = world.look(use(world.clock, world.clock, 2, off=20))
    assert found is not None
    assert found.held is not None
    while world.now <= last + FORGET_AFTER:
        assert world.look() is not None, world.now
    assert world.look() is None


def test_it_is_said_once_when_it_begins_and_when_it_ends() -> None:
    world = World()
    for turn in range(10):
        world.look(use(world.clock, world.clock, 2, off=20 - turn))
    assert world.events == [LimitBegan("Mail", 2, 1.0, 20)]
    last = world.now - 2.0
    while world.now < last + RELEASE_AFTER:
        assert world.look() is not None
    assert len(world.events) == 1, "it may still put off others"
    found = world.look()
    assert found is not None
    assert found.state == "idle"
    (_, ended) = world.events
    assert ended == LimitEnded("Mail", 2, 1.0, pytest.approx(24.0))


def test_a_limit_that_allows_more_than_before_is_an_event_once_it_stays_so() -> None:
    world = World()

    def look(*limits: int) -> None:
        for limit in limits:
            one = use(world.clock, world.clock, 1)
            world.look(one._replace(rule=Rule("Mail", limit, SECOND)))

    look(2, 2, *([3, 2] * 10))
    assert world.events == [], "two versions of the code run"
    look(*([3] * 8))
    assert world.events == [
        Note("info", "rate limit Mail (3 per 1s) has changed: it allowed 2 before")
    ]


def test_what_workers_put_off_is_seen_where_the_engine_shows_none_waiting() -> None:
    world = World()
    world.look(use(world.clock, world.clock, 2))
    world.held = {"Mail": 7}
    found = world.look(use(world.clock, world.clock, 2))
    assert found is not None
    assert (found.state, found.waiting) == (HOLDS_BACK, 0)
    assert found.spark[-1] == 7
    assert world.events == [LimitBegan("Mail", 2, 1.0, 0)]


def test_a_new_keeper_does_not_say_it_again() -> None:
    world = World()
    full = use(world.clock, world.clock, 2, wait=5)
    found, _ = world.watch.observe(100.0, world.clock, [full], {}, {}, 9)
    follower = LimitWatch(found)
    again, events = follower.observe(103.0, world.clock, [full], {}, {}, 9)
    assert events == []
    assert again[0].since == 100.0


def test_many_limits_say_it_together() -> None:
    uses = [
        LimitUse(Rule(f"user:{one}", 1, SECOND), Window(START, 1), 3, SECOND) for one in range(40)
    ]
    found, events = LimitWatch().observe(1.0, START, uses, {}, {}, 9)
    assert len(found) == 9
    assert events == [Note("info", "40 rate limits begin to hold jobs back, such as user:0")]


def test_of_a_limit_for_each_user_a_bounded_number_is_watched() -> None:
    watch, waits = LimitWatch(), LimitUse(Rule("waits", 1, SECOND), Window(START, 1), 3, SECOND)
    for turn in range(20):
        uses = [
            LimitUse(Rule(f"user:{turn}:{one}", 1, SECOND), Window(START, 1), 0, SECOND)
            for one in range(200)
        ]
        found, _ = watch.observe(1.0 + turn, START, [*uses, waits], {}, {}, 9)
    assert len(watch._known) == MAX_WATCHED
    assert found[0].key == "waits"
    assert found[1].key.startswith("user:19:"), "then those that were used last"


def test_of_two_limits_of_a_key_the_one_that_is_used_up_holds_back() -> None:
    hour = 3600 * SECOND
    uses = [
        LimitUse(Rule("Mail", 100, SECOND), Window(START, 3), 0, SECOND),
        LimitUse(Rule("Mail", 3, hour), Window(START, 3), 0, hour),
    ]
    watch = LimitWatch()
    watch.observe(1.0, START, uses, {}, {}, 9)
    found, _ = watch.observe(3.0, START, uses, {"Mail": 4}, {}, 9)
    assert {one.window: one.since is not None for one in found} == {SECOND: False, hour: True}


def test_a_sight_knows_its_limits_now() -> None:
    broker = BrokerStatus(0, "", 2.0, 0.0, [], {}, [watched()], [])
    (found,) = broker.limits_now()
    assert (found.key, found.state) == ("Mail", HOLDS_BACK)
    assert found.empty_in is not None


# jobs at once


def gate(**more: object) -> ObservedLimit:
    return watched(**{"limit": 2, "window": GATE_WINDOW, "left": 0, "starts": 4.0, **more})


def test_a_gate_without_room_holds_jobs_back_until_a_job_ends() -> None:
    found = status(gate(used=2, parked=7), 3.0)
    assert (found.window, found.used, found.waiting, found.state) == (0.0, 2, 7, HOLDS_BACK)
    assert (found.is_gate, found.resets_in, found.next_slot, found.empty_in) == (
        True,
        None,
        0,
        None,
    )
    pool = msgspec.structs.replace(snapshots.well(), limits=(found,))
    (alert,) = [one for one in alerts(pool) if one.verdict == HOLDS_BACK]
    assert alert.text == "7 wait, 2 run (2 at once)"


@pytest.mark.parametrize(("used", "state"), [(2, "full"), (1, "open"), (0, "idle")])
def test_a_gate_that_nobody_waits_for(used: int, state: str) -> None:
    assert status(gate(used=used, parked=0, since=None), 0.0).state == state


def test_starts_of_a_gate_count_from_its_first_observation() -> None:
    """By then, some of its jobs may have ended. A store that has forgotten them counts anew."""
    watch, seen = LimitWatch(), []
    for turn, (used, starts) in enumerate([(2, 7), (1, 9), (0, -1), (2, 2)]):
        looked = LimitUse(Rule("k", 2, GATE_WINDOW), Window(0, used), 1, 0, starts=starts)
        found, _ = watch.observe(2.0 * turn, START + turn * SECOND, [looked], {}, {}, 9)
        seen.append(found[0].starts_total)
    assert seen == [7, 9, 9, 11]


def test_a_gate_is_watched_while_its_jobs_run() -> None:
    watch = LimitWatch()
    use = LimitUse(Rule("k", 2, GATE_WINDOW), Window(0, 1), 0, 0, starts=5)
    for second in range(2 * round(FORGET_AFTER)):
        (seen,), events = watch.observe(
            float(second), START + second * SECOND, [use._replace(starts=5 + second)],
            held={}, last_tries={}, most=9,
        )  # fmt: skip
        assert events == []
    assert (seen.used, seen.limit, round(seen.starts)) == (1, 2, 1)
    began = watch.observe(200.0, START + 200 * SECOND, [use._replace(parked=3)], {}, {}, 9)
    assert began[1] == [], "the three wait for a worker"
    assert status(began[0][0], 0.0).has_free_slot
    full = use._replace(parked=3, window=Window(0, 2))
    began = watch.observe(202.0, START + 202 * SECOND, [full], {}, {}, 9)
    assert began[1] == [LimitBegan("k", 2, 0.0, 3)]


def test_the_metrics_of_a_gate_have_no_window() -> None:
    found = prometheus.of_limits([status(gate(used=1, parked=3), 0.0), status(watched(), 0.0)])
    assert found["poolq_limit_running"] == [(("Mail",), 1)]
    assert found["poolq_limit_allowed_at_once"] == [(("Mail",), 2)]
    assert [labels for labels, _ in found["poolq_limit_next_slot_seconds"]] == [("Mail", "1")]


# jobs that wait for a worker, not for a slot


BEGUN = START + 100 * SECOND


def slow(now: int, used: int = 0, wait: int = 2, **more: int) -> LimitUse:
    """One start per minute; its window began with the first look of a `World`."""
    window, left = Window(BEGUN, used), BEGUN + 60 * SECOND - now
    return LimitUse(Rule("Mail", 1, 60 * SECOND), window, wait, left if used else 0, **more)


def test_a_limit_with_a_free_slot_does_not_hold_back_what_waits_for_a_worker() -> None:
    world = World()
    for _ in range(30):
        found = world.look(slow(world.clock, used=1))
        assert found is not None
        assert (found.state, found.waiting) == (HOLDS_BACK, 2)
        assert found.next_slot > 0
    assert found.empty_in == pytest.approx(found.next_slot + 60)
    while world.now < 160.0 + RELEASE_AFTER:
        found = world.look(slow(world.clock))
    assert found is not None
    assert (found.state, found.waiting, found.next_slot) == ("open", 2, 0.0)
    assert (found.has_free_slot, found.empty_in, found.used) == (True, None, 0)
    assert [type(one) for one in world.events] == [LimitBegan, LimitEnded]
    later = world.look(slow(world.clock, used=1, wait=1))
    assert later is not None
    assert later.state == HOLDS_BACK, "a job has started, and the others wait again"


def test_what_does_not_fit_into_the_rest_of_a_window_waits_for_its_end() -> None:
    """The engine knows what the next start costs."""
    world = World()
    costly = Rule("Mail", 10, 60 * SECOND)
    for _ in range(10):
        left = BEGUN + 60 * SECOND - world.clock
        one = LimitUse(costly, Window(BEGUN, 8), 3, left, slot_in=left)
        found = world.look(one)
        assert found is not None
        assert (found.state, found.used) == (HOLDS_BACK, 8)
        assert found.next_slot == pytest.approx(left / SECOND)
        assert limit_status.of_use(one).state == HOLDS_BACK


def test_a_limit_whose_jobs_start_as_fast_as_it_allows_holds_them_back() -> None:
    """A worker takes 3 s for each of the 10 jobs of a minute, so a slot is often free."""
    world, rule = World(), Rule("Mail", 10, 60 * SECOND)
    states = []
    for turn in range(120):
        since = 2 * turn % 60
        used = min(10, since // 3 + 1)
        start = world.clock - since * SECOND
        one = LimitUse(rule, Window(start, used), 500, (60 - since) * SECOND)
        found = world.look(one)
        states.append(found.state if found else "")
    assert set(states[15:]) == {HOLDS_BACK}
    assert len(world.events) == 1


def test_a_limit_whose_jobs_start_more_slowly_than_it_allows_does_not() -> None:
    """Workers start one job every 4 s, of 100 a minute, and others wait in line."""
    world, rule, total = World(), Rule("Mail", 100, 60 * SECOND), 0
    for turn in range(120):
        since = 2 * turn % 60
        used = since // 4 + 1
        total = 15 * (2 * turn // 60) + used
        start = world.clock - since * SECOND
        one = LimitUse(rule, Window(start, used), 500, (60 - since) * SECOND, starts=total)
        found = world.look(one)
        assert found is not None
        assert (found.state, found.waiting) == ("open", 500)
    assert world.events == []


def test_a_limit_that_was_looked_at_once_holds_back_only_if_it_is_used_up() -> None:
    now = BEGUN + 10 * SECOND
    for one, state in (
        (slow(now, used=1), HOLDS_BACK),
        (slow(now, used=1, wait=0), "full"),
        (slow(now), "open"),
        (slow(now, wait=0), "idle"),
        (slow(now, wait=0, released=2), HOLDS_BACK),
        (slow(now, slot_in=5 * SECOND), HOLDS_BACK),
    ):
        assert limit_status.of_use(one).state == state, one
