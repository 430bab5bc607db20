"""A worker that is to be killed is checked again: it may be ready, or run another job, by now."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Iterator
from multiprocessing import get_context
from time import monotonic_ns

import pytest

from poolq.master import canary
from poolq.master.actions import Kill, SpawnWorker
from poolq.scoreboard import kill_check
from poolq.scoreboard.board import Scoreboard
from poolq.scoreboard.deaths import death_report
from poolq.scoreboard.layout import KillReason, Phase
from poolq.scoreboard.worker_row import text
from tests.support.processes import process
from tests.support.simulated_pool import running
from tests.support.wait import until


@pytest.fixture
def child() -> Iterator[int]:
    with subprocess.Popen(["sleep", "600"]) as popen:
        yield popen.pid
        popen.kill()


@pytest.mark.parametrize(("phase", "state"), [(Phase.BOOT, "T"), (Phase.IDLE, "S")])
def test_one_that_still_boots_is_held_and_one_that_does_not_goes_on(
    child: int, phase: Phase, state: str
) -> None:
    scores = Scoreboard(1)
    assert scores.allocate(1, 1, 1) == 0
    scores.worker_row(0).set_phase(phase)
    assert kill_check.has_booted(child, scores, 0) == (phase is not Phase.BOOT)
    until(lambda: (one := process(child)) is not None and one.state == state, what=state)


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


@pytest.mark.parametrize(
    ("limit", "heavy", "reason"),
    [
        (0, False, KillReason.TIMEOUT),
        (0, True, KillReason.TIMEOUT),
        (1 << 40, True, KillReason.MEMORY),
    ],
)
def test_who_still_runs_what_it_was_accused_of_is_held(
    child: int, limit: int, heavy: bool, reason: KillReason
) -> None:
    scores = at_work(limit)
    assert kill_check.confirm_kill(child, scores, 0, (7, 1), heavy=heavy) == reason
    until(lambda: (one := process(child)) is not None and one.state == "T")


@pytest.mark.parametrize(("accused", "heavy"), [((7, 1), False), ((7, 2), True)])
def test_neither_the_next_job_nor_a_hook_in_its_own_time_is_killed(
    child: int, accused: tuple[int, int], heavy: bool
) -> None:
    """The hook belongs to the same claim as the `run()` that overran."""
    scores = at_work(1 << 40)
    assert kill_check.confirm_kill(child, scores, 0, accused, heavy=heavy) == KillReason.NONE
    until(lambda: (one := process(child)) is not None and one.state == "S")


def at_work(limit: int) -> Scoreboard:
    """A worker's row: claim (7, 1) runs and may do so for `limit` microseconds."""
    scores = Scoreboard(1)
    assert scores.allocate(1, 1, 1) == 0
    row = scores.worker_row(0)
    row.set_phase(Phase.BUSY)
    row.set_claims(7)
    row.start(0, b"", 0)
    row.set_deadline(limit, 0, 0)
    return scores


# a job that a person wants to end


@pytest.mark.parametrize(("id", "state"), [("mine", "T"), ("other", "S")])
def test_a_worker_is_held_only_for_the_job_that_it_runs(child: int, id: str, state: str) -> None:
    scores = at_work(0)
    scores.worker_row(0).start(0, text("mine", "q", "j"), 0)
    assert kill_check.confirm_job(child, scores, 0, id) == (state == "T")
    until(lambda: (one := process(child)) is not None and one.state == state)


def test_a_worker_is_not_held_for_a_job_that_it_has_ended(child: int) -> None:
    scores = at_work(0)
    row = scores.worker_row(0)
    row.set_claims(8)
    row.start(0, text("mine", "q", "j"), 0)
    row.set_finished(0)
    assert not kill_check.confirm_job(child, scores, 0, "mine")
    until(lambda: (one := process(child)) is not None and one.state == "S")


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
    pytestconfig: pytest.Config,
) -> None:
    """The dead worker's report would name exactly the job that was to be killed."""
    scores = Scoreboard(1)
    assert scores.allocate(1, 1, 1) == 0
    worker = get_context("fork").Process(target=work, args=(scores,), daemon=True)
    worker.start()
    assert worker.pid is not None
    races, held = pytestconfig.getoption("kill_races"), 0
    try:
        for _ in range(races):
            id = until(lambda: scores.running_job(0)[0])
            if kill_check.confirm_job(worker.pid, scores, 0, id):
                held += 1
                report = death_report(scores.read(0), "w", "h", 1)
                assert report.request * BATCH + report.started == int(id, 16)
                assert report.finished <= report.started
                kill_check.resume_process(worker.pid)
    finally:
        worker.kill()
        worker.join()
    assert 0 < held < races, "both happen"
