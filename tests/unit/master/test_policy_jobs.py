"""The policy on running jobs: deadlines and memory."""

from __future__ import annotations

import pytest

from poolq.master import canary, policy, recycling, state_updates
from poolq.master.actions import DumpStack, KillJob
from poolq.master.policy import decide, next_wake
from poolq.master.state import WorkerProcess
from poolq.scoreboard import timeouts
from poolq.scoreboard.layout import NO_JOB
from tests.support.simulated_pool import SimulatedPool, only_worker, running

HARD = 1000


def proc_of(sim: SimulatedPool) -> WorkerProcess:
    proc = sim.pool.find(only_worker(sim).seq)
    assert proc is not None
    return proc


def overdue(sim: SimulatedPool) -> WorkerProcess:
    proc = proc_of(sim)
    proc.running, proc.deadline = (7, 1), sim.now + 3
    return proc


# deadlines


def test_a_job_that_overruns_is_dumped_then_killed() -> None:
    sim = running(1)
    proc = overdue(sim)
    sim.now += 2.9
    assert sim.act() == []
    assert next_wake(sim.pool, sim.now) == pytest.approx(0.1)
    sim.now += 0.1
    assert sim.act() == [DumpStack(proc.pid, (7, 1))]
    assert sim.act() == [], "it has time to write"
    assert next_wake(sim.pool, sim.now) == pytest.approx(policy.DUMP_POLL)
    sim.now += timeouts.DUMP_TIMEOUT
    assert decide(sim.pool, sim.now, 0) == [KillJob(proc.pid, (7, 1))]
    assert next_wake(sim.pool, sim.now) > policy.DUMP_POLL


def test_a_written_stack_is_not_waited_for() -> None:
    sim = running(1)
    proc = overdue(sim)
    sim.now += 3
    sim.act()
    assert proc.dump is not None
    proc.dump.written = True
    assert decide(sim.pool, sim.now, 0) == [KillJob(proc.pid, (7, 1))]


def test_the_next_job_is_not_killed_for_an_overrun() -> None:
    sim = running(1)
    proc = overdue(sim)
    sim.now += 3
    sim.act()
    proc.running, proc.deadline = NO_JOB, float("inf")
    sim.now += timeouts.DUMP_TIMEOUT
    assert sim.act() == []


def test_a_suspension_moves_the_deadlines() -> None:
    """Those of jobs observed before it, and of jobs begun since the last observation."""
    sim = running(2)
    seen, unseen = sim.pool.procs()
    seen.running, seen.running_since = (7, 1), sim.now - 1
    state_updates.suspended(sim.pool, 5.0, sim.now)
    state_updates.suspended(sim.pool, 3.0, sim.now + 4)
    assert (seen.suspend_credit, unseen.suspend_credit) == (8.0, 3.0)
    assert seen.resumed_at == unseen.resumed_at == sim.now + 4
    seen.running_since = sim.now + 5  # another job
    state_updates.suspended(sim.pool, 2.0, sim.now + 8)
    assert seen.suspend_credit == 2.0


def test_a_cancelled_job_is_killed_when_its_grace_is_over() -> None:
    """Without its stack, which nobody has asked for."""
    sim = running(1)
    proc = proc_of(sim)
    proc.running, proc.cancel_at = (7, 1), sim.now + 0.5
    assert sim.act() == []
    assert next_wake(sim.pool, sim.now) == pytest.approx(0.5)
    sim.now += 0.5
    kill = KillJob(proc.pid, (7, 1))
    assert sim.act() == [kill]
    assert kill not in sim.act()


# memory


def killed(sim: SimulatedPool, rss: int, *, since: float, held: int = 0) -> bool:
    """Whether the policy acts on a sample of `rss` bytes, taken now, of a job that began `since`
    seconds ago, when the worker held `held` bytes."""
    proc = proc_of(sim)
    proc.rss_at_start = held
    proc.running = (7, round(sim.now - since))
    proc.running_since = sim.now - since
    recycling.sampled(sim.pool, proc, rss, sim.now)
    return DumpStack in [type(one) for one in decide(sim.pool, sim.now, 0)]


def test_a_job_over_the_hard_memory_limit_is_killed() -> None:
    sim = running(1, max_memory_hard=HARD)
    assert not killed(sim, HARD, since=5)
    assert killed(sim, HARD + 1, since=5)


def test_a_sample_from_before_a_job_began_does_not_count_for_it() -> None:
    sim = running(1, max_memory_hard=HARD)
    assert not killed(sim, HARD * 2, since=-0.1)


def test_memory_that_an_earlier_job_has_left_is_not_charged_to_the_next_job() -> None:
    sim = running(1, max_memory_hard=HARD)
    assert not killed(sim, HARD * 2, since=0.9, held=HARD * 2)
    assert recycling.check_limits(sim.pool, proc_of(sim)), "but it is replaced"
    assert killed(sim, round(HARD * 2.3), since=0.9, held=HARD * 2), "its own growth counts"


def test_an_idle_worker_that_is_too_large_is_replaced_but_not_killed() -> None:
    sim = running(1, max_memory_hard=HARD)
    proc = proc_of(sim)
    recycling.sampled(sim.pool, proc, HARD * 2, sim.now)
    assert not proc.over_limit
    assert recycling.check_limits(sim.pool, proc)


def test_without_a_limit_no_job_is_killed_for_its_memory() -> None:
    sim = running(1)
    assert not killed(sim, 1 << 40, since=1)


# the name of the state


def test_a_pool_that_waits_to_load_a_lost_template_again_is_not_called_reloading() -> None:
    sim = running(1, preload=True)
    assert sim.pool.label() == "running"
    sim.broken = True
    sim.end(sim.templates[1], -1)
    assert sim.pool.label() == "reloading"
    sim.act()
    sim.end(sim.templates[2], 3)
    assert sim.pool.trial is not None
    assert sim.pool.label() == "running", "it waits"
    sim.now += canary.LOST_RETRY_DELAY
    sim.act()
    assert sim.pool.label() == "reloading"
    sim.broken = False
    sim.run_for(5)
    assert sim.pool.label() == "running"
    assert sim.pool.trial is None
