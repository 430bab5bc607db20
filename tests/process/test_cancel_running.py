"""Running jobs that are cancelled at the engine, as from another host."""

from __future__ import annotations

import signal

from tests.process.engines import redis_and_sqlite, sqlite
from tests.support.project import STANDARD, Project
from tests.support.wait import until

JOBS = f"""{STANDARD.read_text()}
from threading import Event

class Polite(Job):
    attempts = 5

    def run(self):
        note("start", self.id)
        while not self.cancelled:
            Event().wait(0.005)
        note("cancelled", self.id)
        if self.payload.get("raises"):
            raise ValueError("cancelled")
"""
HOUR = 3_600_000_000


def counted(project: Project) -> dict[str, int]:
    names = ("done", "cancelled", "failed", "retried", "crashed")
    return {name: count for name in names if (count := project.total(name))}


@redis_and_sqlite
def test_a_job_that_is_cancelled_learns_of_it_and_is_killed_in_the_end(project: Project) -> None:
    pool = project.ready(3)
    returns = project.dispatch("Polite", attempts=5)
    raises = project.dispatch("Polite", {"raises": True}, attempts=5)
    stays = project.dispatch("Held", attempts=5)
    for id in (returns, raises, stays):
        project.ledger.until("start", id)
    assert project.engine.request_cancel([returns, raises], HOUR) == [returns, raises]
    assert project.engine.request_cancel([stays], 100_000) == [stays]
    until(project.settled)
    behind = project.dispatch("Quick")
    project.ledger.until("end", behind)
    until(project.settled)
    assert project.ledger.times("start") == dict.fromkeys([returns, raises, stays, behind], 1)
    assert sorted(project.ledger.ids("cancelled")) == sorted([returns, raises])
    assert counted(project) == {"done": 2, "cancelled": 2}
    pool.until_said(f"stale settlement of {raises} refused: the job was cancelled")
    pool.until_said(f"killed; its job jobs:Held {stays} is cancelled")
    assert "retried" not in pool.log


@sqlite
def test_a_cancelled_job_does_not_run_again_when_its_worker_is_killed(project: Project) -> None:
    pool = project.ready(1)
    id = project.dispatch("Held", attempts=5)
    worker = pool.until_runs(id)
    project.ledger.until("start", id)
    assert project.engine.request_cancel([id], HOUR) == [id]
    worker.kill()
    until(project.settled)
    behind = project.dispatch("Quick")
    project.ledger.until("end", behind)
    until(project.settled)
    assert project.ledger.times("start") == {id: 1, behind: 1}
    assert counted(project) == {"done": 1, "cancelled": 1}


@sqlite
def test_a_cancelled_job_does_not_outlive_the_stop_of_its_pool(project: Project) -> None:
    pool = project.ready(1, "--stop-timeout=0.2")
    id = project.dispatch("Held", attempts=5)
    pool.until_runs(id)
    assert project.engine.request_cancel([id], HOUR) == [id]
    pool.signal(signal.SIGTERM)
    pool.wait_exit()
    assert project.engine.find(id) is None
    assert counted(project) == {"cancelled": 1}


@sqlite
def test_the_keeper_ends_a_cancelled_job_when_the_master_is_dead(project: Project) -> None:
    pool = project.ready(1)
    id = project.dispatch("Held", attempts=5)
    pool.until_runs(id)
    pool.kill_master()
    assert project.engine.request_cancel([id], 300_000) == [id]
    pool.until_gone()
    assert project.engine.find(id) is None
    assert counted(project) == {"cancelled": 1}
    assert "the keeper acts, as the master is dead: worker 1" in pool.log
    assert f"killed; its job jobs:Held {id} is cancelled" in pool.log
