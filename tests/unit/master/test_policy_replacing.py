"""The policy on replacements: cooldowns, reloads and hung templates."""

from __future__ import annotations

import pytest

from poolq.master import canary, policy, state_updates
from poolq.master.actions import Kill, SpawnTemplate, SpawnWorker, Stop
from poolq.master.state import WorkerEvent, WorkerProcess
from tests.support.simulated_pool import only_worker, running

COOLDOWN = 20.0


def test_a_hung_template_is_killed_and_replaced() -> None:
    sim = running(1, preload=True)
    sim.templates[1].stubborn = True
    sim.end(only_worker(sim), -1)
    sim.run_for(policy.FORK_TIMEOUT + 1)
    assert 1 not in sim.templates
    assert only_worker(sim).ready
    assert sim.pool.generation == 2


def test_workers_at_their_limits_are_replaced_one_after_the_other() -> None:
    sim = running(3)
    for proc in sim.pool.procs():
        proc.recycle_reason = "500 jobs"
    for slot in (1, 2, 3):
        (old,) = sim.workers_of(slot)
        assert sim.act() == [SpawnWorker(slot, 1)]
        assert sim.act() == [], "the successor boots"
        sim.make_ready(sim.workers_of(slot)[-1])
        assert Stop(old.pid) in sim.act()
        sim.end(old)
    assert sim.act() == []


@pytest.mark.parametrize(("rand", "life"), [(0.0, 0.9), (1.0, 1.1)])
def test_lifetimes_differ_so_that_workers_do_not_leave_together(rand: float, life: float) -> None:
    sim = running(1, cooldown=COOLDOWN)
    proc = WorkerProcess(9, 9, 1, sim.now)
    state_updates.spawned(sim.pool, 1, proc, rand)
    assert proc.expires_at == pytest.approx(sim.now + life * COOLDOWN)


def test_a_slot_whose_old_worker_runs_a_long_job_gets_no_third_worker() -> None:
    sim = running(1, cooldown=COOLDOWN)
    old = only_worker(sim)
    old.stubborn = True
    sim.run_for(COOLDOWN * 1.5)
    number = sim.number
    sim.run_for(COOLDOWN * 10)
    assert sim.number == number, "no process was spawned"
    assert len(sim.workers) == 2
    assert old.stop_sent
    assert not old.killed


def test_a_worker_that_is_being_forked_during_a_reload_is_stopped_once_it_has_a_pid() -> None:
    sim = running(1, preload=True)
    sim.end(only_worker(sim), -1)
    sim.now += 1
    sim.act()
    unborn = only_worker(sim)
    canary.reload(sim.pool, "HUP")
    sim.act()
    sim.load(sim.templates[2])
    sim.act()
    tried = next(one for one in sim.workers.values() if one.generation == 2)
    sim.fork(tried)
    sim.make_ready(tried)
    sim.act()
    assert not unborn.stop_sent, "pid 0 is our own process group"
    sim.fork(unborn)
    sim.act()
    assert unborn.stop_sent or unborn.killed


def test_the_slot_of_the_next_canary_gets_no_other_worker() -> None:
    sim = running(2, max_surge=2)
    canary.reload(sim.pool, "HUP")
    canary.reload(sim.pool, "HUP again")
    sim.act()
    sim.make_ready(next(one for one in sim.workers.values() if not one.ready))
    actions = sim.act()
    assert SpawnWorker(2, 3) in actions
    assert SpawnWorker(2, 2) not in actions


def test_an_old_template_that_does_not_fork_its_worker_is_killed() -> None:
    sim = running(2, preload=True)
    old = sim.templates[1]
    old.stubborn = True
    sim.end(sim.workers_of(2)[0], -1)
    sim.now += 1
    sim.act()
    canary.reload(sim.pool, "HUP")
    sim.run_for(policy.FORK_TIMEOUT + 2)
    assert list(sim.templates) == [2]
    assert len(sim.workers) == 2


@pytest.mark.parametrize("preload", [True, False])
def test_a_generation_that_cannot_boot_is_refused_and_not_tried_again(
    preload: bool,
) -> None:
    sim = running(2, preload=preload)
    before = set(sim.workers)
    sim.broken = True
    canary.reload(sim.pool, "HUP")
    sim.run_for(120)
    assert set(sim.workers) == before
    assert sim.exit is None
    assert sim.pool.refusal
    assert sim.pool.last_generation == 2


def test_a_hung_idle_worker_is_killed() -> None:
    sim = running(1, max_missed_beats=35)
    proc = sim.pool.find(only_worker(sim).seq)
    assert proc is not None
    proc.move(WorkerEvent.IDLE)
    proc.beat.missed = 34
    assert sim.act() == []
    proc.beat.missed = 35
    (action,) = sim.act()
    assert isinstance(action, Kill)


def test_a_canary_whose_slot_closes_does_not_refuse_its_generation() -> None:
    sim = running(2)
    busy = sim.pool.find(sim.workers_of(1)[0].seq)
    assert busy is not None
    busy.recycle_reason = "500 jobs"
    assert sim.act() == [SpawnWorker(1, 1)]
    canary.reload(sim.pool, "HUP")
    assert sim.act() == [SpawnWorker(2, 2)]
    tried = sim.workers_of(2)[-1]
    state_updates.scale(sim.pool, 1)
    assert Stop(tried.pid) in sim.act()
    sim.end(tried)
    sim.run_for(5)
    assert sim.pool.generation == 2
    assert not sim.pool.refusal
    assert [one.generation for one in sim.workers.values()] == [2]


def test_a_worker_that_hangs_while_booting_is_killed_though_it_was_told_to_leave() -> None:
    sim = running(2)
    sim.end(sim.workers_of(2)[0], -1)
    sim.now += 1
    sim.act()
    booting = sim.workers_of(2)[0]
    state_updates.scale(sim.pool, 1)
    assert Stop(booting.pid) in sim.act()
    booting.hangs = True
    sim.run_for(sim.limits.boot_timeout - 0.1)
    assert not booting.killed
    sim.run_for(1)
    assert booting.seq not in sim.workers
    assert len(sim.workers) == 1


def test_a_worker_that_hangs_while_booting_does_not_delay_a_patient_drain() -> None:
    sim = running(2)
    sim.end(sim.workers_of(2)[0], -1)
    sim.now += 1
    sim.act()
    booting = sim.workers_of(2)[0]
    booting.hangs = True
    state_updates.stop(sim.pool, sim.now, patient=True)
    sim.run_for(sim.limits.boot_timeout + 5)
    assert sim.exit == 0


def test_a_worker_may_wait_for_the_engine_as_long_as_its_beat_moves() -> None:
    sim = running(1, boot_timeout=5, max_missed_beats=35)
    canary.reload(sim.pool, "HUP")
    sim.act()
    tried = sim.workers_of(1)[-1]
    tried.hangs = True
    proc = sim.pool.find(tried.seq)
    assert proc is not None
    proc.move(WorkerEvent.LOADED)
    sim.run_for(600)
    assert not tried.killed
    proc.beat.missed = 35
    sim.act()
    assert tried.killed


def test_changed_code_is_tried_before_expired_workers_are_replaced() -> None:
    sim = running(2, preload=True, cooldown=COOLDOWN)
    first, second = (sim.workers_of(slot)[0] for slot in (1, 2))
    sim.now += COOLDOWN
    assert sim.act() == [SpawnWorker(1, 1)]
    sim.find_changed_code(sim.workers_of(1)[-1])
    assert sim.act() == [SpawnTemplate(2)]
    assert sim.act() == [], "their successors would be replaced at once"
    sim.end(sim.templates[2], 3)
    sim.now += state_updates.WORKER_BACKOFF.first
    assert sim.act() == [SpawnWorker(1, 1)]
    sim.run_for(1)
    assert not {first.seq, second.seq} & set(sim.workers)
    assert sim.pool.last_generation == 2


def test_failing_successors_and_canaries_do_not_end_a_pool_that_serves() -> None:
    sim = running(1, max_spawn_failures=3, cooldown=COOLDOWN)
    sim.broken = True
    for _ in range(5):
        canary.reload(sim.pool, "HUP")
        sim.run_for(COOLDOWN * 2)
    assert sim.exit is None
    assert only_worker(sim).ready


def test_an_idle_worker_that_has_missed_its_stop_is_woken_up_each_second() -> None:
    """A busy worker is not signalled again, as the job might receive the signal."""
    sim = running(1)
    old = only_worker(sim)
    old.stubborn = True
    state_updates.stop(sim.pool, sim.now, patient=True)
    assert sim.act() == [Stop(old.pid)]
    (proc,) = sim.pool.procs()
    sim.now += policy.STOP_REPEAT
    assert sim.act() == []
    proc.move(WorkerEvent.IDLE)
    for _ in range(3):
        assert sim.act() == [Stop(old.pid)]
        assert sim.act() == []
        sim.now += policy.STOP_REPEAT / 2
        assert sim.act() == []
        sim.now += policy.STOP_REPEAT / 2
