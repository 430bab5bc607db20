"""The pool's decisions over whole lives: any order of boots, deaths, signals and time."""

from __future__ import annotations

import hypothesis.strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from poolq.pool import history, policy
from poolq.pool.policy import next_wake
from poolq.pool.state import Limits, Mode
from tests.support.world import STOP_TIMEOUT, Life, World

COOLDOWN = 20.0


class Lives(RuleBasedStateMachine):
    """Any order of boots, deaths, signals and time."""

    @initialize(
        seats=st.integers(1, 4),
        cooldown=st.sampled_from([0.0, COOLDOWN]),
        preload=st.booleans(),
        surge=st.integers(1, 2),
        up=st.booleans(),
    )
    def begin(self, seats: int, cooldown: float, preload: bool, surge: int, up: bool) -> None:
        limits = Limits(cooldown, STOP_TIMEOUT, preload=preload, max_surge=surge)
        self.world = World(seats, limits)
        self.world.act()
        if up:
            self.world.run_on()

    def pick(self, data: st.DataObject, lives: list[Life]) -> Life | None:
        return data.draw(st.sampled_from(lives)) if lives else None

    def act(self) -> None:
        if self.world.exit is None:
            self.world.act()

    @rule(seconds=st.sampled_from([0.01, 0.5, 1.0, 3.0, 30.0]))
    def time_passes(self, seconds: float) -> None:
        self.world.now += seconds
        self.world.beat += 1
        self.act()

    @rule()
    def the_shell_sleeps(self) -> None:
        wake = next_wake(self.world.pool, self.world.now)
        assert 0 < wake <= 1
        self.world.now += wake
        self.world.beat += 1
        self.act()

    @rule()
    def the_keeper_says_nothing(self) -> None:
        self.world.now += 1
        self.act()

    @rule()
    def the_keeper_reaches_the_broker(self) -> None:
        if self.world.keeper:
            self.world.contact()
        self.act()

    @rule(code=st.sampled_from([-1, 0, 69, 70, 78]))
    def the_keeper_ends(self, code: int) -> None:
        if self.world.keeper:
            self.world.gone(self.world.keeper, code)
        self.act()

    @rule(data=st.data())
    def a_template_is_loaded(self, data: st.DataObject) -> None:
        lives = [one for one in self.world.templates.values() if not one.ready]
        if life := self.pick(data, lives):
            self.world.loaded(life)
        self.act()

    @rule(data=st.data(), code=st.sampled_from([-1, 0, 3]))
    def a_template_ends(self, data: st.DataObject, code: int) -> None:
        if life := self.pick(data, [*self.world.templates.values()]):
            self.world.gone(life, code)
        self.act()

    @rule(data=st.data())
    def a_worker_is_born(self, data: st.DataObject) -> None:
        if life := self.pick(data, [one for one in self.world.workers.values() if not one.pid]):
            self.world.born(life)
        self.act()

    @rule(data=st.data())
    def a_worker_boots(self, data: st.DataObject) -> None:
        lives = [one for one in self.world.workers.values() if one.pid and not one.ready]
        if life := self.pick(data, [one for one in lives if not one.killed]):
            self.world.ready(life)
        self.act()

    @rule(data=st.data(), code=st.sampled_from([-1, 0, 3, 7, 70]), in_job=st.booleans())
    def a_worker_ends(self, data: st.DataObject, code: int, in_job: bool) -> None:
        if life := self.pick(data, [one for one in self.world.workers.values() if one.pid]):
            self.world.gone(life, code, in_job=in_job and life.ready)
        self.act()

    @rule(data=st.data())
    def one_becomes_stubborn(self, data: st.DataObject) -> None:
        if life := self.pick(data, self.world.all()):
            life.stubborn = True

    @rule()
    def reload(self) -> None:
        history.reload(self.world.pool, "HUP")
        self.act()

    @rule(procs=st.integers(1, 5))
    def scale(self, procs: int) -> None:
        history.scale(self.world.pool, procs)
        self.act()

    @rule(patient=st.booleans())
    def stop(self, patient: bool) -> None:
        if patient:
            history.stop(self.world.pool, self.world.now)
        else:
            history.abort(self.world.pool, self.world.now)
        self.act()

    @invariant()
    def the_surge_is_kept(self) -> None:
        """A canary, and what the settings allow."""
        seats = self.world.pool.seats
        doubled = [seat for seat in seats if len(seat.serving()) > 1 and not seat.closing]
        assert len(doubled) <= self.world.limits.max_surge + 1
        assert all(len(seat.serving()) <= 2 for seat in seats)

    @invariant()
    def the_first_boots_alone(self) -> None:
        if not self.world.pool.generation:
            assert len(self.world.workers) <= 1

    @invariant()
    def in_a_drain_all_were_told(self) -> None:
        world = self.world
        if world.exit is None and world.pool.mode is Mode.DRAIN:
            named = [one for one in world.workers.values() if one.pid]
            assert all(one.told or one.killed for one in named)
            if world.now >= world.pool.deadline:
                assert all(one.killed for one in named)

    def teardown(self) -> None:
        """Whatever happened, a pool that is left alone serves, and a stopped one ends in time."""
        if not hasattr(self, "world") or self.world.exit is not None:
            return
        world = self.world
        if world.pool.mode is Mode.RUN:
            world.run_on(200)
            if world.exit is not None:  # its first boot was failing already
                return
            serving = [one for one in world.workers.values() if one.ready and not one.told]
            assert len(serving) >= world.pool.target()
        history.stop(world.pool, world.now)
        for life in world.all():
            life.stubborn = True
        begun = world.now
        world.run_on(STOP_TIMEOUT + policy.FORK + history.END_DEADLINE + 10)
        assert world.exit is not None
        assert world.now - begun <= STOP_TIMEOUT + policy.FORK + history.END_DEADLINE + 5


TestLives = Lives.TestCase
