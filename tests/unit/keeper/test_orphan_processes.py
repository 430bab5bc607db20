"""What a keeper does with a worker that its dead master was about to kill, or has stopped."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from time import monotonic_ns

import pytest

from poolq.keeper.orphan_processes import Orphans
from poolq.scoreboard import kill_check
from poolq.scoreboard.board import Scoreboard
from poolq.scoreboard.layout import KillReason, Phase
from poolq.scoreboard.worker_row import claim_word, text
from tests.support.processes import process
from tests.support.wait import until


@pytest.fixture
def worker() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "600"], process_group=0) as popen:
        os.kill(popen.pid, signal.SIGSTOP)
        until(lambda: state(popen.pid) == "T")
        yield popen
        popen.kill()


def state(pid: int) -> str:
    found = process(pid)
    return found.state if found else "gone"


def board(pid: int) -> Scoreboard:
    scores = Scoreboard(1)
    assert scores.allocate(1, slot=1, generation=1) == 0
    scores.set_pid(0, pid)
    scores.worker_row(0).set_phase(Phase.BUSY)
    return scores


def test_a_worker_that_the_master_had_stopped_is_resumed_once(
    worker: subprocess.Popen[bytes],
) -> None:
    orphans = Orphans(board(worker.pid), lambda _: None)
    orphans.check()
    until(lambda: state(worker.pid) == "S")
    os.kill(worker.pid, signal.SIGSTOP)
    until(lambda: state(worker.pid) == "T")
    orphans.check()
    assert state(worker.pid) == "T", "a person has stopped it"


def test_a_worker_that_the_master_was_killing_is_killed(worker: subprocess.Popen[bytes]) -> None:
    scores = board(worker.pid)
    scores.set_kill_reason(scores.read(0), KillReason.CANCELLED)
    Orphans(scores, lambda _: None).check()
    assert worker.wait(60) == -signal.SIGKILL


def cancelled(pid: int) -> Scoreboard:
    """A worker runs claim (7, 1), whose job is cancelled and whose grace is over."""
    scores = board(pid)
    row = scores.worker_row(0)
    row.set_claims(7)
    row.start(0, text("id", "q", "j"), 1)
    scores.set_cancelled(0, claim_word(7, 0), monotonic_ns())
    return scores


def test_a_cancelled_job_is_killed_when_its_grace_is_over(worker: subprocess.Popen[bytes]) -> None:
    said: list[str] = []
    scores = cancelled(worker.pid)
    orphans = Orphans(scores, said.append)
    orphans.check()  # resumes it
    orphans.check()
    assert worker.wait(60) == -signal.SIGKILL
    who = f"worker 1 (pid {worker.pid})"
    assert said == [
        f"the keeper acts, as the master is dead: {who} killed; its job j id is cancelled"
    ]
    row = scores.read(0)
    assert (row.kill_reason, row.killed_claim) == (KillReason.CANCELLED, row.claim)


def test_a_job_that_ends_before_its_worker_stands_still_takes_no_other_with_it(
    worker: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = cancelled(worker.pid)
    orphans = Orphans(scores, lambda _: None)
    orphans.check()
    until(lambda: state(worker.pid) == "S")
    stop = kill_check._stop

    def run_on(pid: int) -> bool:
        scores.worker_row(0).start(1, text("next", "q", "j"), 1)
        return stop(pid)

    monkeypatch.setattr(kill_check, "_stop", run_on)
    orphans.check()
    until(lambda: state(worker.pid) == "S")
    assert scores.read(0).kill_reason == KillReason.NONE
