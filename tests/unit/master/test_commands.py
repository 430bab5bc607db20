"""Every signal of the master in every state of its pool."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from signal import Signals
from typing import Any

import pytest

from poolq.config import Config
from poolq.master import canary, commands, signals, transitions
from poolq.master.commands import Commands
from poolq.master.signals import SignalCommands
from poolq.master.state import HelperProcess, Limits, Mode
from poolq.scoreboard.board import Scoreboard
from poolq.system.wakeups import WakeUps
from tests.support.world import STOP_TIMEOUT, Life, World, running

LOGGER = 4242
#: Seconds that a stop takes if nothing is killed.
SOON = 1.0


def boot() -> World:
    """The first worker boots."""
    world = World(2, Limits(stop_timeout=STOP_TIMEOUT, preload=False))
    for _ in range(2):
        world.act()
        world.contact()
    world.act()
    assert len(world.workers) == 1
    return world


def idle() -> World:
    return running(2)


def busy() -> World:
    """No worker leaves before `finish`."""
    world = running(2)
    for life in world.workers.values():
        life.stubborn = True
    return world


def recycling() -> World:
    """Slot 1 has a successor that boots."""
    world = running(2)
    world.pool.procs()[0].recycle_reason = "5 jobs"
    world.act()
    assert len(world.workers) == 3
    return world


def reloading() -> World:
    """The canary of generation 2 boots."""
    world = running(2)
    canary.reload(world.pool, "before")
    world.act()
    assert world.pool.label() == "reloading"
    return world


def draining() -> World:
    world = busy()
    transitions.stop(world.pool, world.now)
    world.act()
    return world


#: "hung": a busy worker whose job never ends.
STATES: dict[str, Callable[[], World]] = {
    "boot": boot, "idle": idle, "busy": busy, "hung": busy, "recycling": recycling,
    "reloading": reloading, "draining": draining,
}  # fmt: skip


class Case:
    """One pool in one state. `sent`: the signals that were sent to its processes."""

    def __init__(self, state: str, config: Config) -> None:
        self.state = state
        self.world = STATES[state]()
        self.world.pool.logger = HelperProcess(LOGGER)
        self.log: list[str] = []
        self.sent: list[tuple[int, Signals]] = []
        self.before = set(self.world.workers)
        pool = self.world.pool

        def log(_: str, text: str) -> None:
            self.log.append(text)

        commands = Commands(config, pool, Scoreboard(1), WakeUps(1), log)
        self._signals = SignalCommands(commands, pool, log)

    def signal(self, name: str) -> None:
        self._signals.obey(name)
        self.world.act()

    def finish(self) -> None:
        """End all jobs except those that hang."""
        for life in self.world.workers.values():
            life.stubborn = self.state == "hung"

    def ready(self) -> list[Life]:
        return [one for one in self.world.workers.values() if one.ready and not one.stop_sent]


@pytest.fixture(params=STATES)
def case(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Case:
    values: dict[str, Any] = {"procs": 2, "stop_timeout": STOP_TIMEOUT}
    made = Case(request.param, Config(**values, folder=tmp_path, engine="null://"))
    monkeypatch.setattr(commands, "monotonic", lambda: made.world.now)
    monkeypatch.setattr(signals, "monotonic", lambda: made.world.now)
    monkeypatch.setattr(signals, "send", lambda *one: made.sent.append(one))
    monkeypatch.setattr(signals, "has_terminal", lambda: False)
    return made


@pytest.mark.parametrize("how", ["SIGTERM", "SIGINT"])
def test_term_and_int_wait_for_jobs_until_the_stop_timeout(case: Case, how: str) -> None:
    begun = case.world.now
    case.signal(how)
    case.signal(how)
    assert case.world.pool.mode is Mode.DRAIN
    assert all(one.stop_sent for one in case.world.workers.values())
    case.world.run_on(STOP_TIMEOUT - 0.5)
    if case.state not in ("busy", "hung", "draining"):
        assert case.world.exit == 0
        return
    assert case.world.exit is None
    assert not any(one.killed for one in case.world.workers.values())
    case.finish()
    case.world.run_on(SOON)
    assert case.world.exit is not None
    assert case.world.now - begun <= STOP_TIMEOUT + SOON


def test_a_second_int_kills_running_jobs(case: Case) -> None:
    case.signal("SIGINT")
    case.world.run_on(1.1)
    if case.world.exit is None:
        case.signal("SIGINT")
        assert all(one.killed for one in case.world.workers.values())
        case.world.run_on(SOON)
    assert case.world.exit is not None


def test_quit_kills_running_jobs(case: Case) -> None:
    case.signal("SIGQUIT")
    assert all(one.killed for one in case.world.workers.values())
    case.signal("SIGQUIT")
    case.world.run_on(SOON)
    assert case.world.exit is not None


def test_hup_reloads_once_and_kills_no_worker(case: Case) -> None:
    tried = case.world.pool.last_generation
    case.signal("SIGHUP")
    case.signal("SIGHUP")
    case.world.run_on(3)
    assert not any(one.killed for one in case.world.workers.values())
    if case.state == "draining":
        assert case.log == ["SIGHUP: the pool is draining; nothing changes"] * 2
        assert case.world.pool.trial is None
        return
    follows = 1 if case.state in ("boot", "reloading") else 2  # the reload under way does not count
    assert case.world.pool.generation == tried + follows
    assert {one.generation for one in case.ready()} == {tried + follows}
    assert len(case.ready()) == 2


def test_usr1_is_passed_to_the_logger(case: Case) -> None:
    case.signal("SIGUSR1")
    assert case.sent == [(LOGGER, Signals.SIGUSR1)]
    assert set(case.world.workers) == case.before


def test_usr2_is_passed_to_each_ready_worker(case: Case) -> None:
    case.signal("SIGUSR2")
    up = [one.pid for one in case.world.workers.values() if one.ready]
    assert case.sent == [(pid, Signals.SIGUSR2) for pid in up]
    assert set(case.world.workers) == case.before


@pytest.mark.parametrize(("how", "workers"), [("SIGTTIN", 3), ("SIGTTOU", 1)])
def test_ttin_and_ttou_change_the_number_of_workers(case: Case, how: str, workers: int) -> None:
    case.signal(how)
    case.world.run_on(3)
    assert not any(one.killed for one in case.world.workers.values())
    if case.state == "draining":
        assert case.log == [f"{how}: the pool is draining; nothing changes"]
        assert case.world.pool.target() == 2
        return
    assert case.world.pool.target() == workers
    assert len(case.ready()) == workers
    case.finish()
    case.world.run_on(3)
    assert len(case.world.workers) - workers == (case.state == "hung" and how == "SIGTTOU")


@pytest.mark.parametrize("how", ["SIGCHLD", "SIGWINCH"])
def test_other_signals_only_wake_up_the_master(case: Case, how: str) -> None:
    before = case.world.pool.label()
    case.signal(how)
    assert (case.log, case.sent, case.world.pool.label()) == ([], [], before)
    assert set(case.world.workers) == case.before
