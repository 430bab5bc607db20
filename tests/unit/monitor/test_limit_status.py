"""The status of rate limits follows from what the engine counts, and is the same everywhere."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poolq.dashboard.panes import PANES
from poolq.dashboard.screen_state import ScreenState
from poolq.engines.base import LimitUse
from poolq.jobs.limits import Gate, Rule, Window
from poolq.keeper.limit_watch import FORGET_AFTER, MAX_WATCHED, RELEASE_AFTER, LimitWatch
from poolq.log.events import Event, LimitBegan, LimitEnded, Note
from poolq.master import status as pool_status
from poolq.monitor import prometheus
from poolq.monitor.alerts import alerts, rule
from poolq.monitor.broker_status import BrokerStatus, encode, read
from poolq.monitor.limit_status import HOLDS_BACK, LimitStatus, later, observed, of_use
from poolq.monitor.snapshot import Snapshot
from tests.support import snapshots

SECOND = 1_000_000
START = 1_764_000_000 * SECOND


def seen(
    used: int = 2,
    parked: int = 172,
    *,
    limit: int = 2,
    window: int = SECOND,  # 0: a gate
    left: int = 700_000,
    released: int = 0,
    starts: int = 0,
    slot: int = 0,
    sliding: bool = False,
    declared: int | None = None,
) -> LimitUse:
    """2 a second, or as the arguments say; `parked` jobs in line."""
    rule = Rule("Mail", limit, window, sliding=sliding) if window else Gate("Mail", limit)
    left = left if used and window else 0
    return LimitUse(rule, Window(START, used), parked, left, released, starts, slot, declared)


# at a moment


def test_a_limit_that_holds_jobs_back_is_shown_as_it_was_seen_and_its_times_run_on() -> None:
    found = observed(seen(), holds_back=True)
    assert (found.state, found.waiting, found.used, found.allowed) == (HOLDS_BACK, 172, 2, 2.0)
    assert (found.next_slot, found.resets_in, found.empty_in) == (0.7, 0.7, 0.7 + 85)
    after = later(found, 0.5)
    assert (after.next_slot, after.resets_in) == (pytest.approx(0.2), pytest.approx(0.2))
    assert after.empty_in == pytest.approx(85.2)
    long_after = later(found, 9.0)
    assert (long_after.state, long_after.used, long_after.waiting) == (HOLDS_BACK, 2, 172)
    assert (long_after.next_slot, long_after.resets_in) == (0.0, 0.0)


def test_a_window_that_nobody_waits_for_ends_on_time() -> None:
    found = observed(seen(parked=0), holds_back=False)
    assert (found.state, later(found, 0.6).state) == ("full", "full")
    after = later(found, 0.8)
    assert (after.state, after.used, after.resets_in) == ("idle", 0, None)


def test_a_limit_that_a_person_has_set_shows_the_one_in_the_code() -> None:
    found = of_use(seen(limit=5, declared=2))
    assert (found.limit, found.declared, found.allowed) == (5, 2, 5.0)
    assert dict(prometheus.of_limits([found]))["poolq_limit_set"] == [(("Mail", "1"), True)]


def test_a_sliding_window_has_no_end() -> None:
    """When the starts after the first leave it is not known."""
    found = observed(seen(parked=0, sliding=True), holds_back=False)
    assert (later(found, 5.0).used, later(found, 5.0).resets_in) == (2, 0.0)
    assert rule(found) == "2 in any 1s"


HOUR = 3600 * SECOND


@pytest.mark.parametrize(
    ("use", "state"),
    [
        (seen(), HOLDS_BACK), (seen(parked=0, released=170), HOLDS_BACK), (seen(parked=0), "full"),
        (seen(used=1, parked=0), "open"), (seen(used=0), "open"), (seen(0, 0), "idle"),
        (seen(used=0, slot=5 * SECOND), HOLDS_BACK),
        (seen(window=0), HOLDS_BACK), (seen(parked=0, window=0), "full"),
        (seen(1, 5, window=0), "open"), (seen(0, 0, window=0), "idle"),
    ],
)  # fmt: skip
def test_its_state_in_a_word(use: LimitUse, state: str) -> None:
    found = of_use(use)
    assert found.state == state
    assert found.holds_back or not found.waiting or found.has_free_slot


def test_what_does_not_fit_into_the_rest_of_a_window_waits_for_its_end() -> None:
    """The engine knows what the next start costs."""
    found = of_use(seen(8, 3, limit=10, left=20 * SECOND, window=60 * SECOND, slot=20 * SECOND))
    assert (found.state, found.used, found.next_slot) == (HOLDS_BACK, 8, 20.0)


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 9), st.integers(0, 9), st.integers(1, 100), st.integers(1, 60))
def test_no_worker_can_empty_it_sooner_than_it_says(
    limit: int, used: int, left: int, waiting: int
) -> None:
    """However many workers there are, and whatever comes besides."""
    used, ends = min(limit, used), left / 10 if used else 10.0
    use = seen(used, waiting, limit=limit, left=left * SECOND // 10, window=10 * SECOND)
    at, slots = 0.0, limit - used
    while waiting > slots:
        waiting -= slots
        at, slots = ends if not at else at + 10.0, limit
    assert observed(use, holds_back=True).empty_in == pytest.approx(at)


def uses() -> st.SearchStrategy[LimitUse]:
    count = st.integers(0, 500)
    window = st.sampled_from([1000, SECOND, 60 * SECOND, 86_400 * SECOND, 10**15, 0])
    made = st.builds(
        seen, count, count, limit=st.integers(1, 100), window=window, left=st.integers(1, 10**15),
        released=count, slot=st.integers(0, 10**12),
    )  # fmt: skip
    return st.tuples(made, st.sampled_from(["Mail", "user:1", 'a "b" \x1b'])).map(_possible)


def window_of(use: LimitUse) -> int:
    return use.rule.window if isinstance(use.rule, Rule) else 0


def _possible(made: tuple[LimitUse, str]) -> LimitUse:
    use, key = made
    longest = use.rule.window if isinstance(use.rule, Rule) else 10**15
    return use._replace(
        rule=use.rule._replace(key=key), resets_in=min(use.resets_in, longest),
        window=Window(START, min(use.rule.limit, use.window.used)),
        slot_in=min(use.slot_in, longest),
    )  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(
    st.lists(uses(), max_size=8, unique_by=lambda one: (one.rule.key, window_of(one))),
    st.floats(0, 9),
)
def test_pane_alert_status_and_metrics_cannot_disagree(some: list[LimitUse], passed: float) -> None:
    found, _ = LimitWatch().observe(1.0, some, {}, 9)
    limits = tuple(later(one, passed) for one in found)
    pool = Snapshot(at=snapshots.AT, head=snapshots.head(), limits=limits)
    pane = PANES["limits"]
    subjects = [one.subject for one in alerts(pool) if one.verdict == HOLDS_BACK]
    rows = [one for one in pane.rows(pool, ScreenState()) if pane.severity(one)]
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
        if one.is_gate:
            assert series["poolq_limit_running"][one.key,] == one.used
            continue
        assert series["poolq_limit_next_slot_seconds"][name] == answer["next_slot"]
        assert 0 <= one.used <= one.limit
        assert one.starts <= one.allowed
        assert (one.waiting == 0) <= (one.empty_in is None)
        assert one.next_slot <= one.window


# from look to look


class World:
    """A watch that observes every 2 seconds."""

    def __init__(self) -> None:
        self.watch = LimitWatch()
        self.now = 100.0
        self.events: list[Event] = []
        self.held: dict[str, int] = {}

    def look(self, *uses: LimitUse) -> LimitStatus | None:
        found, events = self.watch.observe(self.now, uses, self.held, 10)
        self.events += events
        self.now += 2.0
        return found[0] if found else None

    def looks(self, *uses: LimitUse) -> LimitStatus:
        found = self.look(*uses)
        assert found is not None
        return found


def test_starts_of_short_windows_are_those_allowed_while_jobs_wait() -> None:
    """The engine is observed every other window. One opens a moment after the last has ended."""
    world = World()
    for number in range(30):
        started = 2 + round(2 * 2 * number / 1.003)
        found = world.looks(seen(2 if number % 3 else 0, 200 - number, starts=started))
        assert number == 0 or 1.7 < found.starts <= 2.0, number
        assert (found.state, found.waiting) == (HOLDS_BACK if number else "open", 200 - number)


def test_totals_only_grow() -> None:
    """Whatever the engine counts, a window closes, and a worker forgets a key."""
    world, totals = World(), []
    looks = [(1, 0, 5, 1), (2, 1, 6, 4), (3, 1, 8, 2), (0, 0, 0, 3), (1, 4, 9, 3)]
    for used, held, starts, released in looks:
        world.held = {"Mail": held}
        look = [seen(used, 0, released=released, starts=starts)] if used else []
        found = world.looks(*look)
        totals.append((found.starts_total, found.held_total))
    assert totals == [(5, 0), (6, 1), (8, 1), (8, 1), (9, 5)]


def test_a_limit_stays_for_a_minute_after_its_last_use() -> None:
    world = World()
    assert world.look() is None
    world.held = {"Mail": 22}
    last = world.now
    assert world.looks(seen(parked=0, released=20)).held is not None
    while world.now <= last + FORGET_AFTER:
        assert world.look() is not None, world.now
    assert world.look() is None


def test_it_is_said_once_when_it_begins_and_when_it_ends() -> None:
    world = World()
    for turn in range(10):
        world.look(seen(parked=0, released=20 - turn))
    assert world.events == [LimitBegan("Mail", 2, 1.0, 20)]
    last = world.now - 2.0
    while world.now < last + RELEASE_AFTER:
        assert world.look() is not None
    assert len(world.events) == 1, "it may still put off others"
    assert world.looks().state == "idle"
    (_, ended) = world.events
    assert ended == LimitEnded("Mail", 2, 1.0, pytest.approx(24.0))


def test_what_workers_put_off_is_seen_where_the_engine_shows_none_waiting() -> None:
    world = World()
    world.look(seen(parked=0))
    world.held = {"Mail": 7}
    found = world.looks(seen(parked=0))
    assert (found.state, found.waiting) == (HOLDS_BACK, 0)
    assert found.spark[-1] == 7
    assert world.events == [LimitBegan("Mail", 2, 1.0, 0)]


def test_a_new_keeper_does_not_say_it_again() -> None:
    found, _ = LimitWatch().observe(100.0, [seen(parked=5)], {}, 9)
    page = read(encode(BrokerStatus(0, "", 2.0, 0.0, (), tuple(found), ()), 1 << 16))
    assert page is not None
    again, events = LimitWatch(page.limits).observe(103.0, [seen(parked=5)], {}, 9)
    assert events == []
    assert again[0].since == 100.0


def many(limits: int, name: str = "user") -> list[LimitUse]:
    return [
        seen(1, 3, limit=1)._replace(rule=Rule(f"{name}:{n}", 1, SECOND)) for n in range(limits)
    ]


def test_many_limits_say_it_together() -> None:
    found, events = LimitWatch().observe(1.0, many(40), {}, 9)
    assert len(found) == 9
    assert events == [Note("info", "40 rate limits begin to hold jobs back, such as user:0")]


def test_of_a_limit_for_each_user_a_bounded_number_is_watched() -> None:
    watch, (waits,) = LimitWatch(), many(1, "waits")
    for turn in range(20):
        users = [one._replace(parked=0) for one in many(200, f"user:{turn}")]
        found, _ = watch.observe(1.0 + turn, [*users, waits], {}, 9)
    assert len(watch._known) == MAX_WATCHED
    assert found[0].key == "waits:0"
    assert found[1].key.startswith("user:19:"), "then those that were used last"


def test_of_two_limits_of_a_key_the_one_that_is_used_up_holds_back() -> None:
    pair = [seen(3, 0, limit=100), seen(3, 0, limit=3, window=HOUR, left=HOUR)]
    watch = LimitWatch()
    watch.observe(1.0, pair, {}, 9)
    found, _ = watch.observe(3.0, pair, {"Mail": 4}, 9)
    assert {one.window: one.since is not None for one in found} == {1.0: False, 3600.0: True}


# jobs at once


def test_a_gate_without_room_holds_jobs_back_until_a_job_ends() -> None:
    found = later(observed(seen(2, 7, window=0), holds_back=True), 3.0)
    assert (found.window, found.used, found.waiting, found.state) == (0.0, 2, 7, HOLDS_BACK)
    assert (found.is_gate, found.resets_in, found.next_slot) == (True, None, 0)
    assert found.empty_in is None
    pool = msgspec.structs.replace(snapshots.well(), limits=(found,))
    (alert,) = [one for one in alerts(pool) if one.verdict == HOLDS_BACK]
    assert alert.text == "7 wait, 2 run (2 at once)"


def test_a_gate_is_watched_while_its_jobs_run() -> None:
    world = World()
    for turn in range(round(FORGET_AFTER)):
        found = world.looks(seen(1, 0, window=0, starts=5 + 2 * turn))
    assert (found.used, found.limit, round(found.starts)) == (1, 2, 1)
    found = world.looks(seen(1, 3, window=0))
    assert world.events == [], "the three wait for a worker"
    assert found.has_free_slot
    world.look(seen(2, 3, window=0))
    assert world.events == [LimitBegan("Mail", 2, 0.0, 3)]


# jobs that wait for a worker, not for a slot


def slow(left: int, used: int = 0, wait: int = 2) -> LimitUse:
    """One start per minute; its window ends in `left` seconds."""
    return seen(used, wait, limit=1, window=60 * SECOND, left=left * SECOND)


def test_a_limit_with_a_free_slot_does_not_hold_back_what_waits_for_a_worker() -> None:
    world = World()
    for turn in range(30):
        found = world.looks(slow(60 - 2 * turn, used=1))
        assert (found.state, found.waiting) == (HOLDS_BACK, 2)
        assert found.next_slot > 0
    assert found.empty_in == pytest.approx(found.next_slot + 60)
    while world.now < 160.0 + RELEASE_AFTER:
        found = world.looks(slow(0))
    assert (found.state, found.waiting, found.next_slot) == ("open", 2, 0.0)
    assert (found.has_free_slot, found.empty_in, found.used) == (True, None, 0)
    assert [type(one) for one in world.events] == [LimitBegan, LimitEnded]
    found = world.looks(slow(59, used=1, wait=1))
    assert found.state == HOLDS_BACK, "a job has started, and the others wait again"


@pytest.mark.parametrize(("limit", "every", "state"), [(10, 3, HOLDS_BACK), (100, 4, "open")])
def test_a_limit_holds_back_only_if_jobs_start_as_fast_as_it_allows(
    limit: int, every: int, state: str
) -> None:
    """A worker starts a job every 3 s, until 10 have started in the minute, so a slot is often
    free; or busy workers start one every 4 s, of 100 a minute, and others wait in line."""
    world, states = World(), []
    for turn in range(120):
        minute, since = divmod(2 * turn, 60)
        in_minute = min(limit, 60 // every)
        used = min(in_minute, since // every + 1)
        one = seen(
            used, 500, limit=limit, window=60 * SECOND, left=(60 - since) * SECOND,
            starts=minute * in_minute + used,
        )  # fmt: skip
        states.append(world.looks(one).state)
    assert set(states[15:]) == {state}
    assert len(world.events) == (state == HOLDS_BACK)
