"""Why a worker has exited, from its row and the pool's state."""

from __future__ import annotations

from typing import Any

import pytest

from poolq.master import exits, state_updates
from poolq.master.state import Told, WorkerProcess
from poolq.master.state import WorkerState as State
from poolq.scoreboard import pool_status
from poolq.scoreboard.board import Row, Scoreboard
from poolq.scoreboard.layout import KillReason, Phase
from tests.support.simulated_pool import SimulatedPool, only_worker, running

#: What changes of a worker that is killed or stopped.
KILLED: dict[str, Any] = {"state": State.BUSY, "told": Told.KILL}
KILLED_BOOTING = {**KILLED, "state": State.BOOTING}
STOPPED: dict[str, Any] = {"state": State.IDLE, "told": Told.STOP}


def row(phase: Phase = Phase.BUSY, signal: int = 0, code: int = 0, reason: int = 0) -> Row:
    scores = Scoreboard(1)
    index = scores.allocate(1, slot=1, generation=1)
    assert index is not None
    scores.worker_row(index).set_phase(phase)
    scores.set_kill_reason(scores.read(index), KillReason(reason))
    scores.set_dead(index, signal, code)
    return scores.read(index)


def reason_of(sim: SimulatedPool, found: Row, **changes: Any) -> str:
    proc = sim.pool.find(only_worker(sim).seq)
    assert isinstance(proc, WorkerProcess)
    for name, value in changes.items():
        setattr(proc, name, value)
    return exits.reason(sim.pool, proc, found, sim.now)


@pytest.mark.parametrize(
    ("found", "changes", "cause"),
    [
        (row(signal=9, reason=KillReason.TIMEOUT), KILLED, "timeout"),
        (row(signal=9, reason=KillReason.MEMORY), KILLED, "max_memory_hard"),
        (row(signal=9, reason=KillReason.CANCELLED), KILLED, "request"),
        (row(signal=9, reason=KillReason.RETURNED), KILLED, "request"),
        (row(signal=11), {}, "crash"),
        (row(code=7), {}, "crash"),
        (row(code=1), STOPPED, "crash"),
        (row(), {}, "left"),
        (row(signal=9), KILLED, "silent"),
        (row(Phase.BOOT, code=3), {"state": State.BOOTING}, "boot"),
        (row(Phase.BOOT, signal=9), KILLED_BOOTING, "boot"),
        (row(), {**STOPPED, "recycle_reason": "100 jobs"}, "max_jobs"),
        (row(), {**STOPPED, "recycle_reason": "300 MiB"}, "max_memory"),
        (row(), {**STOPPED, "expires_at": 0.0}, "cooldown"),
        (row(), {**STOPPED, "generation": 0}, "reload"),
        (row(Phase.BOOT), {**KILLED_BOOTING, "generation": 0}, "reload"),
    ],
)
def test_each_exit_has_its_reason(found: Row, changes: dict[str, Any], cause: str) -> None:
    assert cause in pool_status.EXIT_REASONS
    assert reason_of(running(1), found, **changes) == cause


def test_exits_because_of_fewer_slots_or_the_end_of_the_pool() -> None:
    sim = running(1)
    sim.pool.slots[0].closing = True
    assert reason_of(sim, row(), **STOPPED) == "scale"
    state_updates.stop(sim.pool, sim.now)
    assert reason_of(sim, row(), **STOPPED) == "stop"
    assert reason_of(sim, row(signal=9), **KILLED) == "stop"
    assert reason_of(sim, row(signal=11), state=State.IDLE, told=Told.NOTHING) == "crash"


def test_exits_are_counted() -> None:
    sim = running(1)
    for _ in range(2):
        exits.count(sim.pool, only_worker(sim).seq, row(signal=9), sim.now)
    exits.count(sim.pool, 4711, row(), sim.now)
    assert dict(sim.pool.exit_counts) == {"crash": 2}
