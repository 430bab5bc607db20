"""A worker that is to be killed is checked again: it may be ready, or run another job, by now."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
from collections.abc import Iterator
from multiprocessing import get_context
from time import monotonic_ns

import pytest
from msgspec.structs import replace

from poolq.master import canary
from poolq.master.actions import Kill, SpawnWorker
from poolq.scoreboard import kill_check
from poolq.scoreboard.board import Scoreboard
from poolq.scoreboard.deaths import death_report
from poolq.scoreboard.kill_check import KilledJob, running_job
from poolq.scoreboard.layout import NO_JOB, KillReason, Phase, RunningJob
from poolq.scoreboard.worker_row import WorkerRow, claim_word, text
from tests.support.processes import process
from tests.support.simulated_pool import running
from tests.support.wait import until


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "600"], process_group=0) as popen:
        yield popen
        popen.kill()


@pytest.mark.parametrize(("phase", "state"), [(Phase.BOOT, "T"), (Phase.IDLE, "S")])
def test_one_that_still_boots_is_held_and_one_that_does_not_goes_on(
    child: subprocess.Popen[bytes], phase: Phase, state: str
) -> None:
    scores = Scoreboard(1)
    assert scores.allocate(1, 1, 1) == 0
    scores.worker_row(0).set_phase(phase)
    assert kill_check.still_boots(child.pid, scores, 0) == (phase is Phase.BOOT)
    until(lambda: (one := process(child.pid)) is not None and one.state == state, what=state)


def test_a_worker_of_a_generation_that_was_overtaken_is_killed_only_while_it_boots() -> None:
    """Generation 3 serves while a worker of generation 2 boots: it may be ready by now."""
    sim = running(2)
    canary.reload(sim.pool, "HUP")
    sim.act()
    sim.make_ready(sim.workers_of(1)[-1])
    assert SpawnWorker(2, 2) in [*sim.act(), *sim.act()]
    booting = sim.workers_of(2)[-1]
    canary.reload(sim.pool, "HUP again")
    assert SpawnWorker(1, 3) in sim.act()
    sim.make_ready(sim.workers_of(1)[-1])
    kills = [action for action in sim.act() if isinstance(action, Kill)]
    (kill,) = kills
    assert (kill.pid, kill.booting) == (booting.pid, True)


def test_a_worker_that_boots_too_long_is_killed_only_while_it_does() -> None:
    sim = running(1, boot_timeout=5)
    canary.reload(sim.pool, "HUP")
    sim.act()
    sim.now += 6
    kills = [action for action in sim.act() if isinstance(action, Kill)]
    assert [kill.booting for kill in kills] == [True]


def kill(scores: Scoreboard, accused: RunningJob, reason: KillReason) -> KilledJob | None:
    """Kill the worker if it runs this claim, for this reason."""
    return kill_check.kill_worker(scores, scores.read(0), accused, lambda _: reason)


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        (KillReason.TIMEOUT, r"overran its 0 s by \d+\.\d s; killed; job j mine"),
        (KillReason.MEMORY, "holds 0 MiB, over --max-memory-hard; killed; job j mine"),
        (KillReason.CANCELLED, "killed; its job j mine is cancelled"),
        (KillReason.RETURNED, "killed; its job j mine is given back"),
    ],
)
def test_who_still_runs_what_it_was_accused_of_is_killed(
    child: subprocess.Popen[bytes], reason: KillReason, words: str
) -> None:
    scores, _ = at_work(child)
    killed = kill(scores, (7, 1), reason)
    assert killed is not None
    assert re.fullmatch(rf"worker 1 \(pid {child.pid}\) {words}", str(killed))
    assert child.wait(60) == -signal.SIGKILL
    row = scores.read(0)
    assert (row.kill_reason, row.killed_claim) == (reason, row.claim)


@pytest.mark.parametrize(
    ("accused", "reason"),
    [((7, 2), KillReason.CANCELLED), ((6, 1), KillReason.MEMORY), ((7, 1), KillReason.NONE)],
)
def test_neither_another_claim_nor_one_without_a_reason_is_killed(
    child: subprocess.Popen[bytes], accused: RunningJob, reason: KillReason
) -> None:
    scores, _ = at_work(child)
    assert kill(scores, accused, reason) is None
    until(lambda: (one := process(child.pid)) is not None and one.state == "S")
    assert scores.read(0).kill_reason == KillReason.NONE


def test_a_worker_is_not_killed_for_a_job_that_it_has_ended(
    child: subprocess.Popen[bytes],
) -> None:
    scores, row = at_work(child)
    row.clear_deadline()
    row.set_finished(0)
    assert kill(scores, (7, 1), KillReason.CANCELLED) is None
    assert kill(scores, NO_JOB, KillReason.CANCELLED) is None


def test_the_reason_of_a_kill_does_not_reach_the_next_job(child: subprocess.Popen[bytes]) -> None:
    """Should somebody resume a worker between the check and the kill, its job is given back."""
    scores, row = at_work(child)
    assert kill(scores, (7, 1), KillReason.CANCELLED) is not None
    assert death_report(scores.read(0), "w", "h", 1).end == "cancelled"
    row.set_finished(0)
    row.start(1, text("next", "q", "j"), 0)
    report = death_report(scores.read(0), "w", "h", 1)
    assert (report.finished, report.started, report.end) == (1, 1, "returned")


def test_a_process_that_may_still_run_is_not_killed(
    child: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a machine so busy that it did not even get to stop."""
    monkeypatch.setattr(kill_check, "STOP_TIMEOUT", 0.0)
    monkeypatch.setattr(kill_check, "_STILL", b"")
    assert kill(at_work(child)[0], (7, 1), KillReason.CANCELLED) is None
    until(lambda: (one := process(child.pid)) is not None and one.state == "S")


def test_a_grace_is_that_of_the_running_claim(child: subprocess.Popen[bytes]) -> None:
    scores, row = at_work(child)
    past, later = monotonic_ns(), monotonic_ns() + 10**12
    for claim, due, over in (
        (claim_word(7, 0), past, True),
        (claim_word(7, 0), later, False),
        (claim_word(7, 1), past, False),
        (0, past, False),
    ):
        scores.set_cancelled(0, claim, due)
        assert kill_check.grace_is_over(scores.read(0)) == over
    scores.set_cancelled(0, claim_word(7, 0), past)
    row.set_finished(0)
    assert not kill_check.grace_is_over(scores.read(0))


def at_work(child: subprocess.Popen[bytes]) -> tuple[Scoreboard, WorkerRow]:
    """The row of a worker, the child, which runs claim (7, 1) and has overrun its deadline."""
    scores = Scoreboard(1)
    assert scores.allocate(1, 1, 1) == 0
    scores.set_pid(0, child.pid)
    row = scores.worker_row(0)
    row.set_phase(Phase.BUSY)
    row.set_claims(7)
    row.start(0, text("mine", "q", "j"), 0)
    row.set_deadline(0, 0, 0)
    return scores, row


BATCH = 50


def work(scores: Scoreboard) -> None:
    """A worker's process: jobs of up to a millisecond, in batches."""
    row, request = scores.worker_row(0), 0
    row.set_phase(Phase.BUSY)
    while True:
        request += 1
        row.set_claims(request)
        for index in range(BATCH):
            now = monotonic_ns()
            row.start(index, text(f"{request * BATCH + index:032x}", "q", "j"), now)
            end = now + random.randrange(1_000_000)
            while monotonic_ns() < end:
                pass
            row.set_finished(index)


@pytest.mark.timeout(1800)
def test_a_kill_that_races_with_the_end_of_its_job_never_hits_the_next(
    pytestconfig: pytest.Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The dead worker's report would name exactly the job that was to be killed."""
    scores = Scoreboard(1)
    assert scores.allocate(1, 1, 1) == 0
    worker = get_context("fork").Process(target=work, args=(scores,), daemon=True)
    worker.start()
    assert worker.pid is not None
    scores.set_pid(0, worker.pid)
    monkeypatch.setattr(kill_check, "kill_group", lambda _: None)
    races, held = pytestconfig.getoption("kill_races"), 0
    try:
        for race in range(races):
            row = until(lambda: one if (one := scores.read(0)).in_job else None)
            assert row is not None
            if race % 2:  # nobody knows whether it still runs
                row = replace(row, started=row.started % BATCH + 1)
            killed = kill(scores, running_job(row), KillReason.CANCELLED)
            if killed:
                held += 1
                report = death_report(scores.read(0), "w", "h", 1)
                assert (report.request, report.started + 1) == running_job(row)
                assert report.request * BATCH + report.started == int(killed.id, 16)
                assert report.finished <= report.started
                assert report.end == "cancelled"
                os.kill(worker.pid, signal.SIGCONT)
    finally:
        worker.kill()
        worker.join()
    assert 0 < held < races, "both happen"
