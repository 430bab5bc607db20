"""Every signal of the master in every state of its pool."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from signal import Signals
from typing import Any

import pytest

from poolq.config import Config
from poolq.master import canary, commands, signal_commands, state_updates
from poolq.master.commands import Commands
from poolq.master.signal_commands import SignalCommands
from poolq.master.state import HelperProcess, Limits, Mode
from poolq.scoreboard.board import Scoreboard
from poolq.system.wakeups import WakeUps
from tests.support.simulated_pool import STOP_TIMEOUT, SimulatedPool, SimulatedProcess, running

LOGGER = 4242
#: Seconds that a stop takes if nothing is killed.
SOON = 1.0


def boot() -> SimulatedPool:
    """The first worker boots."""
    sim = SimulatedPool(2, Limits(stop_timeout=STOP_TIMEOUT, preload=False))
    for _ in range(2):
        sim.act()
        sim.reach_broker()
    sim.act()
    assert len(sim.workers) == 1
    return sim


def idle() -> SimulatedPool:
    return running(2)


def busy() -> SimulatedPool:
    """No worker leaves before `finish`."""
    sim = running(2)
    for process in sim.workers.values():
        process.stubborn = True
    return sim


def recycling() -> SimulatedPool:
    """Slot 1 has a successor that boots."""
    sim = running(2)
    sim.pool.procs()[0].recycle_reason = "5 jobs"
    sim.act()
    assert len(sim.workers) == 3
    return sim


def reloading() -> SimulatedPool:
    """The canary of generation 2 boots."""
    sim = running(2)
    canary.reload(sim.pool, "before")
    sim.act()
    assert sim.pool.label() == "reloading"
    return sim


def draining() -> SimulatedPool:
    sim = busy()
    state_updates.stop(sim.pool, sim.now)
    sim.act()
    return sim


#: "hung": a busy worker whose job never ends.
STATES: dict[str, Callable[[], SimulatedPool]] = {
    "boot": boot, "idle": idle, "busy": busy, "hung": busy, "recycling": recycling,
    "reloading": reloading, "draining": draining,
}  # fmt: skip


class Case:
    """One pool in one state. `sent`: the signals that were sent to its processes."""

    def __init__(self, state: str, config: Config) -> None:
        self.state = state
        self.sim = STATES[state]()
        self.sim.pool.logger = HelperProcess(LOGGER)
        self.log: list[str] = []
        self.sent: list[tuple[int, Signals]] = []
        self.before = set(self.sim.workers)
        pool = self.sim.pool

        def log(_: str, text: str) -> None:
            self.log.append(text)

        commands = Commands(config, pool, Scoreboard(1), WakeUps(1), log)
        self._signals = SignalCommands(commands, pool, log)

    def signal(self, name: str) -> None:
        self._signals.obey(name)
        self.sim.act()

    def finish(self) -> None:
        """End all jobs except those that hang."""
        for process in self.sim.workers.values():
            process.stubborn = self.state == "hung"

    def ready(self) -> list[SimulatedProcess]:
        return [one for one in self.sim.workers.values() if one.ready and not one.stop_sent]


@pytest.fixture(params=STATES)
def case(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Case:
    values: dict[str, Any] = {"procs": 2, "stop_timeout": STOP_TIMEOUT}
    made = Case(request.param, Config(**values, folder=tmp_path, engine="null://"))
    monkeypatch.setattr(commands, "monotonic", lambda: made.sim.now)
    monkeypatch.setattr(signal_commands, "monotonic", lambda: made.sim.now)
    monkeypatch.setattr(signal_commands, "send", lambda *one: made.sent.append(one))
    monkeypatch.setattr(signal_commands, "has_terminal", lambda: False)
    return made


@pytest.mark.parametrize("how", ["SIGTERM", "SIGINT"])
def test_term_and_int_wait_for_jobs_until_the_stop_timeout(case: Case, how: str) -> None:
    begun = case.sim.now
    case.signal(how)
    case.signal(how)
    assert case.sim.pool.mode is Mode.DRAIN
    assert all(one.stop_sent for one in case.sim.workers.values())
    case.sim.run_for(STOP_TIMEOUT - 0.5)
    if case.state not in ("busy", "hung", "draining"):
        assert case.sim.exit == 0
        return
    assert case.sim.exit is None
    assert not any(one.killed for one in case.sim.workers.values())
    case.finish()
    case.sim.run_for(SOON)
    assert case.sim.exit is not None
    assert case.sim.now - begun <= STOP_TIMEOUT + SOON


def test_a_second_int_kills_running_jobs(case: Case) -> None:
    case.signal("SIGINT")
    case.sim.run_for(1.1)
    if case.sim.exit is None:
        case.signal("SIGINT")
        assert all(one.killed for one in case.sim.workers.values())
        case.sim.run_for(SOON)
    assert case.sim.exit is not None


def press(case: Case, times: int, interval: float) -> None:
    """Press Ctrl-C so often, or as often as the pool runs."""
    for _ in range(times):
        if case.sim.exit is None:
            case.signal("SIGINT")
            case.sim.run_for(interval)


def test_an_int_that_comes_too_soon_is_ignored_and_says_so_once(case: Case) -> None:
    press(case, 3, 0.3)
    pool = case.sim.pool
    assert not pool.aborted
    if case.sim.exit is None:
        assert (pool.interrupts, pool.interrupt_ignored_at > 0) == (1, True)
        (text,) = [line for line in case.log if "is ignored" in line]
        assert text.startswith("SIGINT within 1 s of the last one is ignored")


def test_a_key_that_is_held_down_counts_once(case: Case) -> None:
    press(case, 1, 0.5)
    press(case, 60, 0.04)
    assert not case.sim.pool.aborted
    press(case, 1, 0.3)
    press(case, 1, 0.3)
    assert case.sim.exit is not None or case.sim.pool.aborted, "it was released meanwhile"


def test_quit_kills_running_jobs(case: Case) -> None:
    case.signal("SIGQUIT")
    assert all(one.killed for one in case.sim.workers.values())
    case.signal("SIGQUIT")
    case.sim.run_for(SOON)
    assert case.sim.exit is not None


def test_hup_reloads_once_and_kills_no_worker(case: Case) -> None:
    tried = case.sim.pool.last_generation
    case.signal("SIGHUP")
    case.signal("SIGHUP")
    case.sim.run_for(3)
    assert not any(one.killed for one in case.sim.workers.values())
    if case.state == "draining":
        assert case.log == ["SIGHUP: the pool is draining; nothing changes"] * 2
        assert case.sim.pool.trial is None
        return
    follows = 1 if case.state in ("boot", "reloading") else 2  # the reload under way does not count
    assert case.sim.pool.generation == tried + follows
    assert {one.generation for one in case.ready()} == {tried + follows}
    assert len(case.ready()) == 2


def test_usr1_is_passed_to_the_logger(case: Case) -> None:
    case.signal("SIGUSR1")
    assert case.sent == [(LOGGER, Signals.SIGUSR1)]
    assert set(case.sim.workers) == case.before


def test_usr2_is_passed_to_each_ready_worker(case: Case) -> None:
    case.signal("SIGUSR2")
    up = [one.pid for one in case.sim.workers.values() if one.ready]
    assert case.sent == [(pid, Signals.SIGUSR2) for pid in up]
    assert set(case.sim.workers) == case.before


@pytest.mark.parametrize(("how", "workers"), [("SIGTTIN", 3), ("SIGTTOU", 1)])
def test_ttin_and_ttou_change_the_number_of_workers(case: Case, how: str, workers: int) -> None:
    case.signal(how)
    case.sim.run_for(3)
    assert not any(one.killed for one in case.sim.workers.values())
    if case.state == "draining":
        assert case.log == [f"{how}: the pool is draining; nothing changes"]
        assert case.sim.pool.target() == 2
        return
    assert case.sim.pool.target() == workers
    assert len(case.ready()) == workers
    case.finish()
    case.sim.run_for(3)
    assert len(case.sim.workers) - workers == (case.state == "hung" and how == "SIGTTOU")


@pytest.mark.parametrize("how", ["SIGCHLD", "SIGWINCH"])
def test_other_signals_only_wake_up_the_master(case: Case, how: str) -> None:
    before = case.sim.pool.label()
    case.signal(how)
    assert (case.log, case.sent, case.sim.pool.label()) == ([], [], before)
    assert set(case.sim.workers) == case.before
