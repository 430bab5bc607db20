"""The policy on replacements: cooldowns, reloads and hung templates."""

from __future__ import annotations

import pytest

from poolq.master import canary, policy, recycling, transitions
from poolq.master.actions import CheckCode, Kill, SpawnTemplate, SpawnWorker, Stop
from poolq.master.state import WorkerEvent
from tests.support.world import only, running

COOLDOWN = 20.0


def test_a_hung_template_is_killed_and_replaced() -> None:
    world = running(1, preload=True)
    world.templates[1].stubborn = True
    world.gone(only(world), -1)
    world.run_on(policy.FORK_TIMEOUT + 1)
    assert 1 not in world.templates
    assert only(world).ready
    assert world.pool.generation == 2


def test_a_cooldown_replaces_every_worker_without_losing_capacity() -> None:
    world = running(3, cooldown=COOLDOWN)
    before = set(world.workers)
    world.run_on(COOLDOWN * 1.2)
    assert not before & set(world.workers)
    assert len(world.workers) == 3


def test_workers_at_their_limits_are_replaced_one_after_the_other() -> None:
    world = running(3)
    for proc in world.pool.procs():
        proc.recycle_reason = "500 jobs"
    for slot in (1, 2, 3):
        (old,) = world.of(slot)
        assert world.act() == [SpawnWorker(slot, 1)]
        assert world.act() == [], "the successor boots"
        world.ready(world.of(slot)[-1])
        assert Stop(old.pid) in world.act()
        world.gone(old)
    assert world.act() == []


def test_a_slot_whose_old_worker_runs_a_long_job_gets_no_third_worker() -> None:
    world = running(1, cooldown=COOLDOWN)
    old = only(world)
    old.stubborn = True
    world.run_on(COOLDOWN * 1.5)
    number = world.number
    world.run_on(COOLDOWN * 10)
    assert world.number == number, "no process was spawned"
    assert len(world.workers) == 2
    assert old.stop_sent
    assert not old.killed


def test_a_reload_does_not_wait_for_a_long_job() -> None:
    world = running(3)
    old = world.of(2)[0]
    old.stubborn = True
    canary.reload(world.pool, "HUP")
    world.run_on(5)
    fresh = [one for one in world.workers.values() if one.generation == 2]
    assert len(fresh) == 3
    assert old.seq in world.workers


def test_a_worker_that_is_being_forked_during_a_reload_is_stopped_once_it_has_a_pid() -> None:
    world = running(1, preload=True)
    world.gone(only(world), -1)
    world.now += 1
    world.act()
    unborn = only(world)
    canary.reload(world.pool, "HUP")
    world.act()
    world.loaded(world.templates[2])
    world.act()
    tried = next(one for one in world.workers.values() if one.generation == 2)
    world.born(tried)
    world.ready(tried)
    world.act()
    assert not unborn.stop_sent, "pid 0 is our own process group"
    world.born(unborn)
    world.act()
    assert unborn.stop_sent or unborn.killed


def test_the_slot_of_the_next_canary_gets_no_other_worker() -> None:
    world = running(2, max_surge=2)
    canary.reload(world.pool, "HUP")
    canary.reload(world.pool, "HUP again")
    world.act()
    world.ready(next(one for one in world.workers.values() if not one.ready))
    actions = world.act()
    assert SpawnWorker(2, 3) in actions
    assert SpawnWorker(2, 2) not in actions


def test_an_old_template_that_does_not_fork_its_worker_is_killed() -> None:
    world = running(2, preload=True)
    old = world.templates[1]
    old.stubborn = True
    world.gone(world.of(2)[0], -1)
    world.now += 1
    world.act()
    canary.reload(world.pool, "HUP")
    world.run_on(policy.FORK_TIMEOUT + 2)
    assert list(world.templates) == [2]
    assert len(world.workers) == 2


@pytest.mark.parametrize("preload", [True, False])
def test_a_generation_that_cannot_boot_is_refused_and_not_tried_again(
    preload: bool,
) -> None:
    world = running(2, preload=preload)
    before = set(world.workers)
    world.broken = True
    canary.reload(world.pool, "HUP")
    world.run_on(120)
    assert set(world.workers) == before
    assert world.exit is None
    assert world.pool.refusal
    assert world.pool.last_generation == 2


def test_a_hung_idle_worker_is_killed() -> None:
    world = running(1, max_missed_beats=35)
    proc = world.pool.find(only(world).seq)
    assert proc is not None
    proc.move(WorkerEvent.IDLE)
    proc.beat.missed = 34
    assert world.act() == []
    proc.beat.missed = 35
    (action,) = world.act()
    assert isinstance(action, Kill)


def test_a_canary_whose_slot_closes_does_not_refuse_its_generation() -> None:
    world = running(2)
    busy = world.pool.find(world.of(1)[0].seq)
    assert busy is not None
    busy.recycle_reason = "500 jobs"
    assert world.act() == [SpawnWorker(1, 1)]
    canary.reload(world.pool, "HUP")
    assert world.act() == [SpawnWorker(2, 2)]
    tried = world.of(2)[-1]
    transitions.scale(world.pool, 1)
    assert Stop(tried.pid) in world.act()
    world.gone(tried)
    world.run_on(5)
    assert world.pool.generation == 2
    assert not world.pool.refusal
    assert [one.generation for one in world.workers.values()] == [2]


def test_a_worker_that_hangs_while_booting_is_killed_though_it_was_told_to_leave() -> None:
    world = running(2)
    world.gone(world.of(2)[0], -1)
    world.now += 1
    world.act()
    booting = world.of(2)[0]
    transitions.scale(world.pool, 1)
    assert Stop(booting.pid) in world.act()
    booting.hangs = True
    world.run_on(world.limits.boot_timeout - 0.1)
    assert not booting.killed
    world.run_on(1)
    assert booting.seq not in world.workers
    assert len(world.workers) == 1


def test_a_worker_that_hangs_while_booting_does_not_delay_a_patient_drain() -> None:
    world = running(2)
    world.gone(world.of(2)[0], -1)
    world.now += 1
    world.act()
    booting = world.of(2)[0]
    booting.hangs = True
    transitions.stop(world.pool, world.now, patient=True)
    world.run_on(world.limits.boot_timeout + 5)
    assert world.exit == 0


def test_a_worker_may_wait_for_the_engine_as_long_as_its_beat_moves() -> None:
    world = running(1, boot_timeout=5, max_missed_beats=35)
    canary.reload(world.pool, "HUP")
    world.act()
    tried = world.of(1)[-1]
    tried.hangs = True
    proc = world.pool.find(tried.seq)
    assert proc is not None
    proc.move(WorkerEvent.LOADED)
    world.run_on(600)
    assert not tried.killed
    proc.beat.missed = 35
    world.act()
    assert tried.killed


def test_changed_code_is_tried_before_expired_workers_are_replaced() -> None:
    world = running(2, preload=True, cooldown=COOLDOWN)
    first, second = (world.of(slot)[0] for slot in (1, 2))
    world.now += COOLDOWN
    assert world.act() == [CheckCode(1, first.seq), CheckCode(1, second.seq)]
    recycling.code_checked(world.pool, first.seq, changed=True)
    recycling.code_checked(world.pool, second.seq, changed=False)
    assert world.act() == [SpawnTemplate(2)]
    assert world.act() == [], "their successors would be replaced at once"
    world.gone(world.templates[2], 3)
    assert world.act() == [SpawnWorker(1, 1)]
    world.run_on(recycling.CODE_CHECK_TIMEOUT)
    assert not {first.seq, second.seq} & set(world.workers)
    assert world.pool.last_generation == 2


def test_failing_successors_and_canaries_do_not_end_a_pool_that_serves() -> None:
    world = running(1, max_spawn_failures=3, cooldown=COOLDOWN)
    world.broken = True
    for _ in range(5):
        canary.reload(world.pool, "HUP")
        world.run_on(COOLDOWN * 2)
    assert world.exit is None
    assert only(world).ready


def test_an_idle_worker_that_has_missed_its_stop_is_woken_up_each_second() -> None:
    """A busy worker is not signalled again, as the job might receive the signal."""
    world = running(1)
    old = only(world)
    old.stubborn = True
    transitions.stop(world.pool, world.now, patient=True)
    assert world.act() == [Stop(old.pid)]
    (proc,) = world.pool.procs()
    world.now += policy.STOP_REPEAT
    assert world.act() == []
    proc.move(WorkerEvent.IDLE)
    for _ in range(3):
        assert world.act() == [Stop(old.pid)]
        assert world.act() == []
        world.now += policy.STOP_REPEAT / 2
        assert world.act() == []
        world.now += policy.STOP_REPEAT / 2
