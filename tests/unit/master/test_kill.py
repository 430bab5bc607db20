"""The command that ends a running job: which worker is killed, and what its row says."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from poolq.config import Config
from poolq.errors import Refused
from poolq.master.commands import Commands
from poolq.master.state import Limits, Pool, Slot, WorkerProcess, WorkerState
from poolq.scoreboard.board import Scoreboard
from poolq.scoreboard.layout import KillReason, Phase
from poolq.scoreboard.worker_row import WorkerRow, text
from poolq.system.wakeups import WakeUps
from tests.support.processes import process
from tests.support.wait import until

CONFIG: dict[str, Any] = {"procs": 2, "engine": "null://", "folder": Path("/")}


class TwoWorkers:
    """A pool whose workers are two real processes. Worker 1 runs job "one", worker 2 runs "two"."""

    def __init__(self, pids: list[int]) -> None:
        self.pids = pids
        self.scores = Scoreboard(2)
        self.said: list[str] = []
        self.rows: list[WorkerRow] = []
        procs = [WorkerProcess(at + 1, pid, 1, 0.0) for at, pid in enumerate(pids)]
        self.pool = Pool(Limits(), [Slot(at + 1, [proc]) for at, proc in enumerate(procs)])
        for at, id in enumerate(("one", "two")):
            procs[at].state = WorkerState.BUSY
            assert self.scores.allocate(at + 1, slot=at + 1, generation=1) == at
            self.scores.set_pid(at, pids[at])
            row = self.scores.worker_row(at)
            self.rows.append(row)
            row.set_phase(Phase.BUSY)
            row.set_claims(7)
            row.start(0, text(id, "q", "jobs:Held"), 1)
        self.commands = Commands(
            Config(**CONFIG),
            self.pool,
            self.scores,
            WakeUps(2),
            lambda _, text: self.said.append(text),
        )

    def kill(self, id: str, worker: int | None = None, *, give_back: bool = False) -> int:
        row, job = self.commands.kill(id, "poolq kill", worker=worker, give_back=give_back)
        assert job == "jobs:Held"
        return row.slot

    def reasons(self) -> list[int]:
        return [self.scores.read(at).kill_reason for at in range(2)]

    def states(self) -> list[str]:
        """The states of the processes. Z is a killed one that nobody has reaped."""
        found = [process(pid) for pid in self.pids]
        return [one.state if one else "gone" for one in found]


@pytest.fixture
def two() -> Iterator[TwoWorkers]:
    with ExitStack() as stack:
        popens = [
            stack.enter_context(subprocess.Popen(["sleep", "600"], process_group=0))
            for _ in range(2)
        ]
        yield TwoWorkers([popen.pid for popen in popens])
        for popen in popens:
            popen.kill()


def test_a_worker_is_named_by_slot_or_pid(two: TwoWorkers) -> None:
    assert two.kill("one", worker=1) == 1
    assert two.kill("two", worker=two.pids[1]) == 2


def test_a_worker_that_is_dying_is_not_killed_again(two: TwoWorkers) -> None:
    two.kill("one")
    with pytest.raises(Refused, match="no worker of this pool runs job one; it may have ended"):
        two.kill("one")


@pytest.mark.parametrize(("id", "worker"), [("three", None), ("one", 2), ("", None)])
def test_what_nobody_runs_is_refused_and_nobody_is_touched(
    two: TwoWorkers, id: str, worker: int | None
) -> None:
    with pytest.raises(Refused, match=f" job {id}; it may have ended"):
        two.kill(id, worker)
    until(lambda: two.states() == ["S", "S"])
    assert two.reasons() == [KillReason.NONE] * 2
    assert two.said == []
