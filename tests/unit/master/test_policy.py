"""The policy in single situations: boots, deaths, and the end of the pool."""

from __future__ import annotations

import pytest

from poolq.master import policy, transitions
from poolq.master.actions import Exit, Kill, SpawnKeeper, SpawnTemplate, SpawnWorker
from poolq.master.policy import next_wake
from poolq.master.state import Limits
from tests.support.world import STOP_TIMEOUT, World, only, running


def test_a_boot_starts_the_keeper_then_the_template_then_one_worker_then_the_others() -> None:
    world = World()
    assert world.act() == [SpawnKeeper()]
    assert world.act() == []
    world.contact()
    assert world.act() == [SpawnTemplate(1)]
    assert world.act() == []
    world.loaded(world.templates[1])
    assert world.act() == [SpawnWorker(1, 1)]
    world.born(only(world))
    assert world.act() == []
    world.ready(only(world))
    assert world.act() == [SpawnWorker(2, 1), SpawnWorker(3, 1)]


def test_without_preloading_there_is_no_template() -> None:
    world = running(2)
    assert not world.templates
    assert world.pool.generation == 1


@pytest.mark.parametrize(("code", "ends_with"), [(3, 3), (-1, 3), (70, 3), (78, 78), (69, 69)])
@pytest.mark.parametrize("preload", [True, False])
def test_a_first_generation_that_cannot_boot_ends_the_pool(
    preload: bool, code: int, ends_with: int
) -> None:
    world = World(3, Limits(preload=preload))
    world.act()
    world.contact()
    world.act()
    world.gone(world.templates[1] if preload else only(world), code)
    world.run_on(1)
    assert world.exit == ends_with


@pytest.mark.parametrize("code", [69, 78])
def test_a_keeper_that_never_reached_the_broker_ends_the_pool(code: int) -> None:
    world = World()
    world.act()
    assert world.keeper is not None
    world.gone(world.keeper, code)
    world.act()
    assert world.exit == code


def test_a_keeper_that_dies_later_is_replaced() -> None:
    world = running()
    assert world.keeper is not None
    world.gone(world.keeper, 69)
    world.run_on(1)
    assert world.exit is None
    assert world.keeper is not None


def test_a_keeper_that_dies_repeatedly_is_replaced_later_each_time() -> None:
    world = running()
    for _ in range(8):
        assert world.keeper is not None
        world.gone(world.keeper, -1)
        pause = world.pool.keeper_not_before - world.now
        world.run_on(6)
    assert pause == 5
    world.run_on(61)
    assert world.keeper is not None
    world.gone(world.keeper, -1)
    assert world.pool.keeper_not_before - world.now < 0.5


def test_a_silent_keeper_is_killed_after_ten_observations() -> None:
    world = running()
    assert world.keeper is not None
    world.act()
    for _ in range(policy.MAX_MISSED_BEATS - 1):
        world.now += 1
        assert world.act() == []
    world.now += 1
    (action,) = world.act()
    assert isinstance(action, Kill)
    assert action.pid == world.keeper.pid
    assert world.act() == [], "once"


def test_a_suspended_master_does_not_kill_the_keeper() -> None:
    """Its clock ran on, but it observed nothing."""
    world = running()
    world.act()
    world.now += 3600
    assert world.act() == []


def test_a_worker_that_dies_repeatedly_is_replaced_later_each_time() -> None:
    world = running(1)
    pauses = []
    for _ in range(12):
        world.gone(only(world), -1)
        begun = world.now
        while not world.workers:
            world.now += 0.05
            world.act()
        pauses.append(world.now - begun)
        world.ready(only(world))
    assert pauses == sorted(pauses)
    assert pauses[0] == pytest.approx(0.1, abs=0.06)
    assert pauses[-1] == pytest.approx(30, abs=0.1)


def test_a_worker_that_had_settled_a_job_is_replaced_soon() -> None:
    world = running(1)
    for _ in range(5):
        world.gone(only(world), -1, in_job=True, worked=True)
        world.now += 0.1
        assert world.act() == [SpawnWorker(1, 1)]
        world.ready(only(world))


@pytest.mark.parametrize(("most", "ends_with"), [(5, 4), (0, None)])
def test_a_crash_storm_ends_the_pool_if_there_is_a_limit(most: int, ends_with: int | None) -> None:
    world = running(1, max_spawn_failures=most)
    for _ in range(5):
        assert world.exit is None
        world.gone(only(world), -1)
        world.run_on(31)
    assert world.exit == ends_with


def test_a_worker_that_is_not_ready_in_time_is_killed() -> None:
    world = running(1)
    world.gone(only(world), -1)
    world.now += 1
    world.act()
    world.now += 59.9
    assert world.act() == []
    world.now += 0.1
    (action,) = world.act()
    assert isinstance(action, Kill)
    assert "was not ready in time" in action.why
    assert Kill not in [type(one) for one in world.act()], "it is not killed twice"


def test_the_stop_timeout_kills_on_time_and_the_pool_exits_with_5() -> None:
    world = running(2)
    life, other = world.workers.values()
    life.stubborn = True
    begun = world.now
    assert transitions.stop(world.pool, begun)
    assert not transitions.stop(world.pool, begun + 1), "idempotent"
    world.run_on(STOP_TIMEOUT - 0.01)
    assert not life.killed
    assert other.seq not in world.workers
    world.now = begun + STOP_TIMEOUT
    world.act()
    assert life.killed
    world.gone(life, -1, in_job=True)
    world.run_on(1)
    assert world.exit == 5


def test_an_abort_that_kills_no_job_exits_with_0() -> None:
    world = running(2)
    transitions.abort(world.pool, world.now)
    world.run_on(1)
    assert world.exit == 0


def test_the_loop_wakes_up_for_the_stop_timeout() -> None:
    world = running(1)
    transitions.stop(world.pool, world.now)
    assert next_wake(world.pool, world.now + STOP_TIMEOUT - 0.25) == pytest.approx(0.25)


def test_the_end_waits_until_the_dead_are_recovered() -> None:
    """The keeper died with the last worker: another one is started to recover its claims."""
    world = running(1)
    life = only(world)
    transitions.stop(world.pool, world.now)
    world.act()
    world.gone(life, -1)
    assert world.keeper is not None
    world.gone(world.keeper, -1)
    assert Exit(0) not in world.act()
    world.run_on(6)
    assert world.exit == 0
    assert world.unrecovered == 0


def test_a_keeper_that_does_not_leave_is_killed() -> None:
    world = running(1)
    assert world.keeper is not None
    world.keeper.stubborn = True
    transitions.stop(world.pool, world.now)
    world.run_on(transitions.END_TIMEOUT - 0.1)
    assert world.keeper is not None
    assert not world.keeper.killed
    world.run_on(1)
    assert world.exit == 0


def test_a_hung_template_does_not_delay_the_end() -> None:
    world = running(1, preload=True)
    world.templates[1].stubborn = True
    world.gone(only(world), -1)
    world.now += 1
    world.act()
    transitions.stop(world.pool, world.now)
    world.run_on(policy.FORK_TIMEOUT + transitions.END_TIMEOUT + 1)
    assert world.exit == 0
