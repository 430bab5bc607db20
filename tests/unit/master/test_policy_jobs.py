"""The policy on running jobs: deadlines and memory."""

from __future__ import annotations

import pytest

from poolq.master import canary, policy, recycling, transitions
from poolq.master.actions import DumpStack, KillOverrun
from poolq.master.policy import decide, next_wake
from poolq.master.state import WorkerProcess
from poolq.scoreboard import timeouts
from poolq.scoreboard.layout import NO_JOB
from tests.support.world import World, only, running

HARD = 1000


def proc_of(world: World) -> WorkerProcess:
    proc = world.pool.find(only(world).seq)
    assert proc is not None
    return proc


def overdue(world: World) -> WorkerProcess:
    proc = proc_of(world)
    proc.running, proc.deadline = (7, 1), world.now + 3
    return proc


# deadlines


def test_a_job_that_overruns_is_dumped_then_killed() -> None:
    world = running(1)
    proc = overdue(world)
    world.now += 2.9
    assert world.act() == []
    assert next_wake(world.pool, world.now) == pytest.approx(0.1)
    world.now += 0.1
    assert world.act() == [DumpStack(proc.pid, (7, 1))]
    assert world.act() == [], "it has time to write"
    assert next_wake(world.pool, world.now) == pytest.approx(policy.DUMP_POLL)
    world.now += timeouts.DUMP_TIMEOUT
    assert decide(world.pool, world.now, 0) == [KillOverrun(proc.pid, (7, 1))]
    assert next_wake(world.pool, world.now) > policy.DUMP_POLL


def test_a_written_stack_is_not_waited_for() -> None:
    world = running(1)
    proc = overdue(world)
    world.now += 3
    world.act()
    assert proc.dump is not None
    proc.dump.written = True
    assert decide(world.pool, world.now, 0) == [KillOverrun(proc.pid, (7, 1))]


def test_the_next_job_is_not_killed_for_an_overrun() -> None:
    world = running(1)
    proc = overdue(world)
    world.now += 3
    world.act()
    proc.running, proc.deadline = NO_JOB, float("inf")
    world.now += timeouts.DUMP_TIMEOUT
    assert world.act() == []


def test_a_suspension_moves_the_deadlines() -> None:
    """Those of jobs observed before it, and of jobs begun since the last observation."""
    world = running(2)
    seen, unseen = world.pool.procs()
    seen.running, seen.running_since = (7, 1), world.now - 1
    transitions.suspended(world.pool, 5.0, world.now)
    transitions.suspended(world.pool, 3.0, world.now + 4)
    assert (seen.suspend_credit, unseen.suspend_credit) == (8.0, 3.0)
    assert seen.resumed_at == unseen.resumed_at == world.now + 4
    seen.running_since = world.now + 5  # another job
    transitions.suspended(world.pool, 2.0, world.now + 8)
    assert seen.suspend_credit == 2.0


def test_an_idle_loop_wakes_up_once_a_second() -> None:
    world = running(3)
    assert next_wake(world.pool, world.now) == pytest.approx(1.0)


# memory


def killed(world: World, rss: int, *, since: float, held: int = 0) -> bool:
    """Whether the policy acts on a sample of `rss` bytes, taken now, of a job that began `since`
    seconds ago, when the worker held `held` bytes."""
    proc = proc_of(world)
    proc.rss_at_start = held
    proc.running = (7, round(world.now - since))
    proc.running_since = world.now - since
    recycling.sampled(world.pool, proc, rss, world.now)
    return DumpStack in [type(one) for one in decide(world.pool, world.now, 0)]


def test_a_job_over_the_hard_memory_limit_is_killed() -> None:
    world = running(1, max_memory_hard=HARD)
    assert not killed(world, HARD, since=5)
    assert killed(world, HARD + 1, since=5)


def test_a_sample_from_before_a_job_began_does_not_count_for_it() -> None:
    world = running(1, max_memory_hard=HARD)
    assert not killed(world, HARD * 2, since=-0.1)


def test_memory_that_an_earlier_job_has_left_is_not_charged_to_the_next_job() -> None:
    world = running(1, max_memory_hard=HARD)
    assert not killed(world, HARD * 2, since=0.9, held=HARD * 2)
    assert recycling.check_limits(world.pool, proc_of(world)), "but it is replaced"
    assert killed(world, round(HARD * 2.3), since=0.9, held=HARD * 2), "its own growth counts"


def test_an_idle_worker_that_is_too_large_is_replaced_but_not_killed() -> None:
    world = running(1, max_memory_hard=HARD)
    proc = proc_of(world)
    recycling.sampled(world.pool, proc, HARD * 2, world.now)
    assert not proc.over_limit
    assert recycling.check_limits(world.pool, proc)


def test_without_a_limit_no_job_is_killed_for_its_memory() -> None:
    world = running(1)
    assert not killed(world, 1 << 40, since=1)


# the name of the state


def test_a_pool_that_waits_to_load_a_lost_template_again_is_not_called_reloading() -> None:
    world = running(1, preload=True)
    assert world.pool.label() == "running"
    world.broken = True
    world.gone(world.templates[1], -1)
    assert world.pool.label() == "reloading"
    world.act()
    world.gone(world.templates[2], 3)
    assert world.pool.trial is not None
    assert world.pool.label() == "running", "it waits"
    world.now += canary.LOST_RETRY_DELAY
    world.act()
    assert world.pool.label() == "reloading"
    world.broken = False
    world.run_on(5)
    assert world.pool.label() == "running"
    assert world.pool.trial is None
