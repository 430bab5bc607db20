"""How soon a keeper is replaced, and when a silent one is killed."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from poolq.master import policy, state_updates
from poolq.master.actions import Kill, SpawnKeeper
from poolq.master.state import HelperProcess, Limits, Pool
from poolq.scoreboard.timeouts import (
    BEATS_PER_TIMEOUT,
    MAX_MISSED_BEATS,
    keeper_pause,
    keeper_silence,
)


def pool(**limits: float) -> Pool:
    made = Pool(Limits(**limits), [])  # type: ignore[arg-type]  # seconds
    made.broker_reached = True
    return made


def delay_after_death(one: Pool, now: float, *, killed: bool) -> float:
    """Reap a keeper that was just started; returns the seconds until the next one."""
    one.keeper = HelperProcess(7, now - 0.2)
    state_updates.keeper_exited(one, -1 if killed else 70, now, killed=killed)
    return one.keeper_not_before - now


def test_a_keeper_that_crashes_is_replaced_before_its_node_may_count_as_dead() -> None:
    one = pool()
    one.limits = replace(one.limits, keeper_pause=keeper_pause(4.0))
    waits = [delay_after_death(one, now, killed=False) for now in range(100, 106)]
    assert waits == [pytest.approx(wait) for wait in (0.1, 0.2, 0.4, 4 / 6, 4 / 6, 4 / 6)]


def test_a_killed_keeper_is_always_replaced_at_once() -> None:
    one = pool()
    waits = [delay_after_death(one, now, killed=True) for now in range(100, 150)]
    assert waits == [pytest.approx(state_updates.KEEPER_INTERVAL - 0.2)] * 50
    assert policy.decide(one, 150, 0) == [SpawnKeeper()]


def test_a_keeper_that_crashes_by_itself_is_replaced_later_each_time() -> None:
    one = pool()
    waits = [delay_after_death(one, now, killed=False) for now in range(100, 108)]
    assert waits == [pytest.approx(wait) for wait in (0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0)]
    assert delay_after_death(one, 120, killed=True) < 0.1, "a kill does not count as a crash"
    assert delay_after_death(one, 130, killed=False) == pytest.approx(5.0), (
        "nor does it reset the count of crashes"
    )
    one.keeper = HelperProcess(7, 140.0)
    state_updates.keeper_exited(one, 70, 141.0 + state_updates.LONG_LIFE)
    assert one.keeper_not_before - 141.0 - state_updates.LONG_LIFE == pytest.approx(0.1)


@pytest.mark.parametrize("ttl", [0.5, 1.0, 2.0, 10.0, 29.0])
def test_a_stopped_keeper_is_killed_within_half_of_a_short_node_ttl(ttl: float) -> None:
    allowed = keeper_silence(ttl)
    assert allowed == pytest.approx(ttl / 3)
    one = pool(keeper_silence=allowed)
    one.keeper = HelperProcess(7, 100.0)
    now, looked = 100.0, 0
    while not policy.decide(one, now, 0):
        now += policy.next_wake(one, now) + 0.001
        one.keeper.quick_beat.observe(1, now, allowed / BEATS_PER_TIMEOUT)
        looked += 1
    assert allowed < now - 100 < ttl / 2 + 0.01
    assert looked <= max(BEATS_PER_TIMEOUT + 1, ttl / 2)
    (kill,) = policy.decide(one, now, 0)
    assert isinstance(kill, Kill)
    assert kill.pid == 7


@pytest.mark.parametrize("ttl", [30.0, 600.0])
def test_a_silent_keeper_is_killed_after_ten_seconds_at_most(ttl: float) -> None:
    assert keeper_silence(ttl) == MAX_MISSED_BEATS
    one = pool(keeper_silence=keeper_silence(ttl))
    one.keeper = HelperProcess(7, 100.0)
    for now in range(100, 100 + MAX_MISSED_BEATS + 1):
        assert policy.decide(one, now, 0) == []
        assert policy.next_wake(one, now) == 1.0
        one.keeper.beat.observe(1, now)
    (kill,) = policy.decide(one, 111, 0)
    assert isinstance(kill, Kill)
    state_updates.signalled(one, kill.pid, 111, killed=True)
    assert policy.decide(one, 111, 0) == [], "once"
