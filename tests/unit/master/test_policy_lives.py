"""The policy over whole lives of a pool: boots, deaths, signals and time in random order."""

from __future__ import annotations

from math import inf

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from poolq.master import canary, policy, state_updates
from poolq.master.policy import next_wake
from poolq.master.state import Limits, Mode, WorkerEvent, WorkerProcess
from poolq.scoreboard import timeouts
from poolq.scoreboard.layout import NO_JOB
from tests.support.simulated_pool import STOP_TIMEOUT, SimulatedPool, SimulatedProcess

COOLDOWN = 20.0


class Lives(RuleBasedStateMachine):
    """Boots, deaths, signals and time in random order."""

    @initialize(
        slots=st.integers(1, 4),
        cooldown=st.sampled_from([0.0, COOLDOWN]),
        preload=st.booleans(),
        surge=st.integers(1, 2),
        up=st.booleans(),
    )
    def begin(self, slots: int, cooldown: float, preload: bool, surge: int, up: bool) -> None:
        limits = Limits(cooldown, STOP_TIMEOUT, preload=preload, max_surge=surge)
        self.sim = SimulatedPool(slots, limits)
        self.sim.act()
        if up:
            self.sim.run_for()

    def pick(self, data: st.DataObject, lives: list[SimulatedProcess]) -> SimulatedProcess | None:
        return data.draw(st.sampled_from(lives)) if lives else None

    def act(self) -> None:
        if self.sim.exit is None:
            self.sim.act()

    @rule(seconds=st.sampled_from([0.01, 0.5, 1.0, 3.0, 30.0]))
    def time_passes(self, seconds: float) -> None:
        self.sim.now += seconds
        self.sim.beat += 1
        self.act()

    @rule()
    def the_master_sleeps(self) -> None:
        wake = next_wake(self.sim.pool, self.sim.now)
        assert 0 < wake <= 1
        self.sim.now += wake
        self.sim.beat += 1
        self.act()

    @rule()
    def the_keeper_is_silent(self) -> None:
        self.sim.now += 1
        self.act()

    @rule()
    def the_keeper_reaches_the_broker(self) -> None:
        if self.sim.keeper:
            self.sim.reach_broker()
        self.act()

    @rule(code=st.sampled_from([-1, 0, 69, 70, 78]))
    def the_keeper_ends(self, code: int) -> None:
        if self.sim.keeper:
            self.sim.end(self.sim.keeper, code)
        self.act()

    @rule(data=st.data())
    def a_template_is_loaded(self, data: st.DataObject) -> None:
        lives = [one for one in self.sim.templates.values() if not one.ready]
        if process := self.pick(data, lives):
            self.sim.load(process)
        self.act()

    @rule(data=st.data(), code=st.sampled_from([-1, 0, 3]))
    def a_template_ends(self, data: st.DataObject, code: int) -> None:
        if process := self.pick(data, [*self.sim.templates.values()]):
            self.sim.end(process, code)
        self.act()

    @rule(data=st.data())
    def a_worker_is_forked(self, data: st.DataObject) -> None:
        if process := self.pick(data, [one for one in self.sim.workers.values() if not one.pid]):
            self.sim.fork(process)
        self.act()

    @rule(data=st.data())
    def a_worker_boots(self, data: st.DataObject) -> None:
        lives = [one for one in self.sim.workers.values() if one.pid and not one.ready]
        if process := self.pick(data, [one for one in lives if not one.killed]):
            self.sim.make_ready(process)
        self.act()

    @rule(data=st.data(), code=st.sampled_from([-1, 0, 3, 7, 70]), in_job=st.booleans())
    def a_worker_ends(self, data: st.DataObject, code: int, in_job: bool) -> None:
        if process := self.pick(data, [one for one in self.sim.workers.values() if one.pid]):
            self.sim.end(process, code, in_job=in_job and process.ready)
        self.act()

    def pick_ready(self, data: st.DataObject) -> WorkerProcess | None:
        procs = [one for one in self.sim.pool.procs() if one.ready and not one.killed]
        return data.draw(st.sampled_from(procs)) if procs else None

    @rule(data=st.data(), limit=st.sampled_from([0.0, 0.5, 30.0]), number=st.integers(1, 3))
    def a_job_begins(self, data: st.DataObject, limit: float, number: int) -> None:
        if proc := self.pick_ready(data):
            proc.running, proc.running_since = (number, 1), self.sim.now
            proc.deadline = self.sim.now + limit if limit else inf
            proc.over_limit = False
            proc.move(WorkerEvent.BUSY)
        self.act()

    @rule(data=st.data(), over_limit=st.booleans())
    def a_job_overruns(self, data: st.DataObject, over_limit: bool) -> None:
        """The worker is killed as soon as its stack has had its time, whatever else happens."""
        if (proc := self.pick_ready(data)) and self.sim.exit is None:
            proc.running, proc.over_limit = (9, 9), over_limit
            proc.move(WorkerEvent.BUSY)
            proc.deadline = inf if over_limit else self.sim.now
            self.act()
            assert proc.killed or (proc.dump is not None and proc.dump.running == (9, 9))
            self.sim.now += timeouts.DUMP_TIMEOUT
            self.act()
            assert proc.killed

    @rule(data=st.data())
    def a_job_ends(self, data: st.DataObject) -> None:
        if proc := self.pick_ready(data):
            proc.running, proc.deadline, proc.over_limit = NO_JOB, inf, False
            proc.move(WorkerEvent.IDLE)
            proc.beat.missed = 0
        self.act()

    @rule(data=st.data())
    def a_job_takes_too_much_memory(self, data: st.DataObject) -> None:
        if proc := self.pick_ready(data):
            proc.over_limit = proc.running != NO_JOB
        self.act()

    @rule(data=st.data())
    def a_stack_is_written(self, data: st.DataObject) -> None:
        if (proc := self.pick_ready(data)) and proc.dump is not None:
            proc.dump.written = True
        self.act()

    @rule(data=st.data())
    def an_idle_worker_hangs(self, data: st.DataObject) -> None:
        if proc := self.pick_ready(data):
            proc.beat.missed = self.sim.limits.max_missed_beats
        self.act()

    @rule(data=st.data(), why=st.sampled_from(["500 jobs", "300 MiB"]))
    def a_worker_reaches_a_limit(self, data: st.DataObject, why: str) -> None:
        if proc := self.pick_ready(data):
            proc.recycle_reason = why
        self.act()

    @rule(data=st.data())
    def a_template_finds_changed_code(self, data: st.DataObject) -> None:
        if process := self.pick(data, self.sim.unforked()):
            self.sim.find_changed_code(process)
        self.act()

    @rule(data=st.data())
    def a_process_becomes_stubborn(self, data: st.DataObject) -> None:
        if process := self.pick(data, self.sim.processes()):
            process.stubborn = True

    @rule()
    def reload(self) -> None:
        canary.reload(self.sim.pool, "HUP")
        self.act()

    @rule(procs=st.integers(1, 5))
    def scale(self, procs: int) -> None:
        state_updates.scale(self.sim.pool, procs)
        self.act()

    @rule(patient=st.booleans())
    def stop(self, patient: bool) -> None:
        if patient:
            state_updates.stop(self.sim.pool, self.sim.now)
        else:
            state_updates.abort(self.sim.pool, self.sim.now)
        self.act()

    @invariant()
    def the_surge_is_kept(self) -> None:
        """At most one canary more than the settings allow."""
        slots = self.sim.pool.slots
        doubled = [slot for slot in slots if len(slot.serving()) > 1 and not slot.closing]
        assert len(doubled) <= self.sim.limits.max_surge + 1
        assert all(len(slot.serving()) <= 2 for slot in slots)

    @invariant()
    def the_first_worker_boots_alone(self) -> None:
        if not self.sim.pool.generation:
            assert len(self.sim.workers) <= 1

    @invariant()
    def in_a_drain_all_workers_were_stopped(self) -> None:
        sim = self.sim
        if sim.exit is None and sim.pool.mode is Mode.DRAIN:
            named = [one for one in sim.workers.values() if one.pid]
            assert all(one.stop_sent or one.killed for one in named)
            if sim.now >= sim.pool.deadline:
                assert all(one.killed for one in named)

    def teardown(self) -> None:
        """Afterwards a pool that is left alone serves, and a stopped one ends in time."""
        if not hasattr(self, "sim") or self.sim.exit is not None:
            return
        sim = self.sim
        if sim.pool.mode is Mode.RUN:
            sim.run_for(200)
            if sim.exit is not None:  # its first boot had failed already
                return
            serving = [one for one in sim.workers.values() if one.ready and not one.stop_sent]
            assert len(serving) >= sim.pool.target()
        state_updates.stop(sim.pool, sim.now)
        for process in sim.processes():
            process.stubborn = True
        begun = sim.now
        sim.run_for(STOP_TIMEOUT + policy.FORK_TIMEOUT + state_updates.END_TIMEOUT + 10)
        assert sim.exit is not None
        assert sim.now - begun <= STOP_TIMEOUT + policy.FORK_TIMEOUT + state_updates.END_TIMEOUT + 5


class Replacing(RuleBasedStateMachine):
    """Reloads of good and broken code, cooldowns and limits in random order. As long as no worker
    dies by itself, all slots are served at each moment."""

    @initialize(
        slots=st.integers(1, 4),
        preload=st.booleans(),
        surge=st.integers(1, 3),
        cooldown=st.sampled_from([0.0, COOLDOWN]),
    )
    def begin(self, slots: int, preload: bool, surge: int, cooldown: float) -> None:
        self.sim = SimulatedPool(slots, Limits(cooldown, preload=preload, max_surge=surge))
        self.sim.run_for()

    @rule(broken=st.booleans())
    def reload(self, broken: bool) -> None:
        self.sim.broken = broken
        canary.reload(self.sim.pool, "HUP")
        self.sim.act()

    @rule(data=st.data())
    def a_worker_reaches_a_limit(self, data: st.DataObject) -> None:
        procs = [one for one in self.sim.pool.procs() if one.ready]
        data.draw(st.sampled_from(procs)).recycle_reason = "500 jobs"
        self.sim.act()

    @rule()
    def the_templates_find_changed_code(self) -> None:
        for process in self.sim.unforked():
            self.sim.find_changed_code(process)
        self.sim.act()

    @rule(data=st.data())
    def a_worker_runs_a_long_job(self, data: st.DataObject) -> None:
        lives = [one for one in self.sim.workers.values() if one.ready]
        data.draw(st.sampled_from(lives)).stubborn = True

    @rule()
    def all_processes_obey(self) -> None:
        self.sim.obey()
        self.sim.act()

    @rule(seconds=st.sampled_from([0.01, 1.0, COOLDOWN]))
    def time_passes(self, seconds: float) -> None:
        self.sim.now += seconds
        self.sim.beat += 1
        self.sim.act()

    @rule(more=st.integers(1, 2))
    def the_pool_grows(self, more: int) -> None:
        """New slots count when their workers have booted, which broken code cannot."""
        if self.sim.pool.target() < 6 and not self.sim.broken:
            state_updates.scale(self.sim.pool, self.sim.pool.target() + more)
            self.sim.run_for(30)

    @invariant()
    def no_slot_is_without_a_ready_worker(self) -> None:
        assert self.sim.served() == self.sim.pool.target()

    def teardown(self) -> None:
        if hasattr(self, "sim"):
            self.sim.broken = False
            self.sim.run_for(30)
            assert self.sim.pool.trial is None
            assert self.sim.served() == self.sim.pool.target()


@pytest.mark.parametrize("machine", [Lives, Replacing])
def test_the_rules_hold_in_random_lives(
    machine: type[RuleBasedStateMachine], pytestconfig: pytest.Config
) -> None:
    # As hypothesis sets it for state machines: a busy host is no reason to fail.
    lives = settings(
        max_examples=pytestconfig.getoption("lives"), suppress_health_check=list(HealthCheck)
    )
    run_state_machine_as_test(machine, settings=lives)
