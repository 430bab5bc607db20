"""TTIN, TTOU, USR1 and USR2, sent to the master."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.process.engines import sqlite
from tests.support.pool import Pool
from tests.support.project import Project
from tests.support.wait import until

HANGS = """
class HangsInC(Job):
    def run(self):
        never_ends(self.id)


def never_ends(id):
    note("start", id)
    sum(range(10**12))
"""


@sqlite
def test_ttin_and_ttou_scale_the_pool(project: Project) -> None:
    pool = project.ready(1)
    pool.signal(signal.SIGTTIN)
    pool.until_said("SIGTTIN: 2 workers from now on")
    pool.until_idle(2)
    pool.signal(signal.SIGTTIN)
    pool.until_idle(3)
    for left in ("2 workers", "1 worker"):
        pool.signal(signal.SIGTTOU)
        pool.until_said(f"SIGTTOU: {left} from now on")
    until(lambda: len(pool.workers()) == 1)
    pool.signal(signal.SIGTTOU)
    pool.until_said("there cannot be 0 workers")
    assert len(pool.until_idle(1)) == 1
    pool.signal(signal.SIGTERM)
    assert pool.wait_exit(3) == 0


@sqlite
def test_ttou_lets_a_running_job_finish(project: Project) -> None:
    pool = project.ready(2)
    running = project.dispatch_many("Held", 2)
    for id in running:
        pool.until_runs(id)
    pool.signal(signal.SIGTTOU)
    pool.until_said("1 worker from now on")
    project.ledger.open()
    until(project.settled)
    until(lambda: len(pool.workers()) == 1)
    assert project.ledger.times("end") == dict.fromkeys(running, 1)


@sqlite
def test_usr2_logs_the_stack_of_every_worker(project: Project) -> None:
    pool = project.ready(2)
    running = project.dispatch("Held")
    worker = pool.until_runs(running)
    project.ledger.until("start", running)
    pool.until_idle(1)
    pool.signal(signal.SIGUSR2)
    pool.until_said("most recent call first", times=2)
    pool.until_said('jobs.py", line')
    pool.signal(signal.SIGUSR1)
    project.ledger.open()
    project.ledger.until("end", running)
    pool.until_idle(2)
    assert worker.pid in {one.pid for one in pool.workers()}
    assert "died" not in pool.log


@sqlite
def test_a_worker_that_hangs_in_c_ignores_signals_and_delays_no_other(project: Project) -> None:
    jobs = project.folder / "jobs.py"
    jobs.write_text(jobs.read_text() + HANGS)
    pool = project.ready(2, "--stop-timeout=0.5")
    id = project.dispatch("HangsInC", attempts=1)
    worker = pool.until_runs(id)
    project.ledger.until("start", id)
    pool.signal(signal.SIGUSR2)
    pool.until_said("in never_ends")
    pool.signal(signal.SIGHUP)
    pool.until_said("generation 2 is accepted")
    until(lambda: sum(" g2 " in one.title for one in pool.idle()) == 2)
    pool.signal(signal.SIGTTOU)
    until(lambda: len(pool.idle()) == 1)
    pool.signal(signal.SIGTTIN)
    pool.until_idle(2)
    for how in (signal.SIGWINCH, signal.SIGUSR1):
        pool.signal(how)
    other = project.dispatch("Quick")
    project.ledger.until("end", other)
    assert pool.until_runs(id).pid == worker.pid
    pool.signal(signal.SIGTERM)
    assert pool.wait_exit() == 5
    pool.until_said(f"worker (pid {worker.pid}) outlived the stop timeout; killed")
    stored = project.engine.find(id)
    assert stored is not None
    assert (stored.status, stored.state.attempt, stored.state.crashes) == ("ready", 0, 0)


def begun(project: Project) -> Pool:
    """A pool whose command has begun to import what it needs, and no more."""
    pool = project.pool(1, through=("env",))
    maps = Path(f"/proc/{pool.pid}/maps")
    until(lambda: "_ctypes." in maps.read_text(), 10, "its imports")
    return pool


@sqlite
@pytest.mark.parametrize("how", ["SIGTERM", "SIGINT", "SIGQUIT"])
def test_a_pool_can_be_ended_before_it_has_started(project: Project, how: str) -> None:
    pool = begun(project)
    pool.signal(signal.Signals[how])
    assert pool.wait_exit() == 0
    assert "Traceback" not in pool.log


@sqlite
def test_other_signals_before_the_start_do_nothing(project: Project) -> None:
    pool = begun(project)
    for how in ("SIGHUP", "SIGUSR1", "SIGUSR2", "SIGTTIN", "SIGTTOU", "SIGWINCH", "SIGCHLD"):
        pool.signal(signal.Signals[how])
    assert len(pool.until_ready(1)) == 1
