"""The policy in single situations: boots, deaths, and the end of the pool."""

from __future__ import annotations

import pytest

from poolq.master import policy, state_updates
from poolq.master.actions import Exit, Kill, SpawnKeeper, SpawnTemplate, SpawnWorker
from poolq.master.policy import next_wake
from poolq.master.state import Limits, Mode
from tests.support.simulated_pool import STOP_TIMEOUT, SimulatedPool, only_worker, running


def test_a_boot_starts_the_keeper_then_the_template_then_one_worker_then_the_others() -> None:
    sim = SimulatedPool()
    assert sim.act() == [SpawnKeeper()]
    assert sim.act() == []
    sim.reach_broker()
    assert sim.act() == [SpawnTemplate(1)]
    assert sim.act() == []
    sim.load(sim.templates[1])
    assert sim.act() == [SpawnWorker(1, 1)]
    sim.fork(only_worker(sim))
    assert sim.act() == []
    sim.make_ready(only_worker(sim))
    assert sim.act() == [SpawnWorker(2, 1), SpawnWorker(3, 1)]


@pytest.mark.parametrize(("code", "ends_with"), [(3, 3), (-1, 3), (70, 3), (78, 78), (69, 69)])
@pytest.mark.parametrize("preload", [True, False])
def test_a_first_generation_that_cannot_boot_ends_the_pool(
    preload: bool, code: int, ends_with: int
) -> None:
    sim = SimulatedPool(3, Limits(preload=preload))
    sim.act()
    sim.reach_broker()
    sim.act()
    sim.end(sim.templates[1] if preload else only_worker(sim), code)
    sim.run_for(1)
    assert sim.exit == ends_with


def test_a_suspended_master_does_not_kill_the_keeper() -> None:
    """Its clock ran on, but it observed nothing."""
    sim = running()
    sim.act()
    sim.now += 3600
    assert sim.act() == []


def test_a_worker_that_dies_repeatedly_is_replaced_later_each_time() -> None:
    sim = running(1)
    pauses = []
    for _ in range(12):
        sim.end(only_worker(sim), -1)
        begun = sim.now
        while not sim.workers:
            sim.now += 0.05
            sim.act()
        pauses.append(sim.now - begun)
        sim.make_ready(only_worker(sim))
    assert pauses == sorted(pauses)
    assert pauses[0] == pytest.approx(0.1, abs=0.06)
    assert pauses[-1] == pytest.approx(30, abs=0.1)


def test_a_worker_that_had_settled_a_job_is_replaced_soon() -> None:
    sim = running(1)
    for _ in range(5):
        sim.end(only_worker(sim), -1, in_job=True, worked=True)
        sim.now += 0.1
        assert sim.act() == [SpawnWorker(1, 1)]
        sim.make_ready(only_worker(sim))


@pytest.mark.parametrize(("most", "ends_with"), [(5, 4), (0, None)])
def test_a_crash_storm_ends_the_pool_if_there_is_a_limit(most: int, ends_with: int | None) -> None:
    sim = running(1, max_spawn_failures=most)
    for _ in range(5):
        assert sim.exit is None
        sim.end(only_worker(sim), -1)
        sim.run_for(31)
    assert sim.exit == ends_with


def test_a_worker_that_is_not_ready_in_time_is_killed() -> None:
    sim = running(1)
    sim.end(only_worker(sim), -1)
    sim.now += 1
    sim.act()
    sim.now += 59.9
    assert sim.act() == []
    sim.now += 0.1
    (action,) = sim.act()
    assert isinstance(action, Kill)
    assert "was not ready in time" in action.why
    assert Kill not in [type(one) for one in sim.act()], "it is not killed twice"


def test_the_stop_timeout_kills_on_time_and_the_pool_exits_with_5() -> None:
    sim = running(2)
    process, other = sim.workers.values()
    process.stubborn = True
    begun = sim.now
    assert state_updates.stop(sim.pool, begun)
    assert not state_updates.stop(sim.pool, begun + 1), "idempotent"
    sim.run_for(STOP_TIMEOUT - 0.01)
    assert not process.killed
    assert other.seq not in sim.workers
    sim.now = begun + STOP_TIMEOUT
    sim.act()
    assert process.killed
    sim.end(process, -1, in_job=True)
    sim.run_for(1)
    assert sim.exit == 5


def test_an_abort_that_kills_no_job_exits_with_0() -> None:
    sim = running(2)
    state_updates.abort(sim.pool, sim.now)
    sim.run_for(1)
    assert sim.exit == 0


def test_the_loop_wakes_up_for_the_stop_timeout() -> None:
    sim = running(1)
    state_updates.stop(sim.pool, sim.now)
    assert next_wake(sim.pool, sim.now + STOP_TIMEOUT - 0.25) == pytest.approx(0.25)


def test_the_end_waits_until_the_dead_are_recovered() -> None:
    """The keeper died with the last worker: another one is started to recover its claims."""
    sim = running(1)
    process = only_worker(sim)
    state_updates.stop(sim.pool, sim.now)
    sim.act()
    sim.end(process, -1)
    assert sim.keeper is not None
    sim.end(sim.keeper, -1)
    assert Exit(0) not in sim.act()
    sim.run_for(6)
    assert sim.exit == 0
    assert sim.unrecovered == 0


def test_a_keeper_that_does_not_leave_is_killed() -> None:
    sim = running(1)
    assert sim.keeper is not None
    sim.keeper.stubborn = True
    state_updates.stop(sim.pool, sim.now)
    sim.run_for(state_updates.END_TIMEOUT - 0.1)
    assert sim.keeper is not None
    assert not sim.keeper.killed
    sim.run_for(1)
    assert sim.exit == 0


def test_a_hung_template_does_not_delay_the_end() -> None:
    sim = running(1, preload=True)
    sim.templates[1].stubborn = True
    sim.end(only_worker(sim), -1)
    sim.now += 1
    sim.act()
    state_updates.stop(sim.pool, sim.now)
    sim.run_for(policy.FORK_TIMEOUT + state_updates.END_TIMEOUT + 1)
    assert sim.exit == 0


def test_a_stopped_template_is_there_until_its_copy_has_ended_too() -> None:
    sim = running(1, preload=True)
    template = sim.pool.templates[1]
    template.spare, template.stop_sent = 77, True
    assert state_updates.template_exited(sim.pool, template.pid, 0, "", sim.now) is None
    assert [(one.pid, one.ready) for one in sim.pool.templates.values()] == [(77, False)]
    sim.pool.mode, sim.pool.deadline = Mode.END, sim.now
    assert [one.pid for one in policy.decide(sim.pool, sim.now, 0) if type(one) is Kill] == [77]
    assert state_updates.template_exited(sim.pool, 77, 0, "", sim.now) is None
    assert not sim.pool.templates
