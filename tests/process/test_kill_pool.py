"""Master, keeper, or all processes are killed: no job is lost or run twice, and no process is
left."""

from __future__ import annotations

import signal
from contextlib import suppress

import pytest

from poolq.engines.base import Claim
from poolq.errors import Fenced
from poolq.jobs.message import entries
from tests.contract.helpers import registration
from tests.process.conftest import jobs
from tests.process.engines import each_kind, redis_and_sqlite, sqlite
from tests.support.pool import gone
from tests.support.processes import process
from tests.support.project import Project
from tests.support.wait import until


@redis_and_sqlite
def test_workers_of_a_killed_master_finish_and_leave(project: Project) -> None:
    pool = project.ready(2, "--sleep=60")
    running = project.dispatch("Held")
    pool.until_runs(running)
    queued = project.dispatch_many("Held", 3)
    until(lambda: len(project.ledger.ids("start")) == 2)
    keeper = until(pool.keeper)
    pool.kill_master()
    project.ledger.open()
    pool.until_gone()
    started = project.ledger.ids("start")
    assert running in started
    assert len(started) == 2, "they take nothing new"
    assert sorted(project.ledger.ids("end")) == sorted(started)
    assert project.total("done") == 2
    assert project.engine.registered() == []
    assert project.engine.nodes() == []
    assert project.left() == len(queued) - 1
    assert process(keeper.pid) is None or not process(keeper.pid).alive
    assert project.pool(2, "--until-empty").wait_exit() == 0
    assert project.ledger.times("end") == dict.fromkeys([running, *queued], 1)


@sqlite
def test_the_keeper_outlives_the_last_worker_of_a_killed_master(project: Project) -> None:
    pool = project.ready(2, "--sleep=60", "--node-ttl=1")
    running = project.dispatch("Held")
    worker = pool.until_runs(running)
    pool.until_idle(1)
    pool.kill_master()
    until(lambda: [one.pid for one in pool.workers()] == [worker.pid], 5, "the idle worker's end")
    (before,) = project.engine.nodes()
    until(lambda: project.engine.nodes()[0].beat > before.beat + 2, 5, "it to beat on")
    assert pool.keeper() is not None
    project.ledger.open()
    until(lambda: not pool.workers())
    pool.until_gone()
    assert project.engine.nodes() == []


@sqlite
def test_an_orphan_that_dies_too_is_recovered_by_the_keeper(project: Project) -> None:
    """With it the subprocesses of its job end."""
    pool = project.ready(2)
    running = project.dispatch("Parent")
    worker = pool.until_runs(running)
    project.ledger.until("child")
    pool.kill_master()
    worker.kill()
    pool.until_gone()
    assert project.engine.registered() == []
    project.ready(1)
    project.ledger.until("child", times=2)


@sqlite
@pytest.mark.parametrize("logger", [True, False], ids=["logger-left", "nobody-left"])
def test_a_jobs_subprocesses_when_master_keeper_and_worker_were_killed(
    project: Project, logger: bool
) -> None:
    """By the logger. If that was killed too, nothing here proves whose it is: it is left alone."""
    pool = project.ready(1)
    parent = project.dispatch("Parent")
    worker = pool.until_runs(parent)
    (child,) = project.ledger.until("child")
    left = int(child.id)
    last = until(lambda: pool.titled("poolq: logger"))
    pool.kill_master()
    pool.kill_keeper()
    if logger:
        worker.kill()
        pool.until_gone()
        return
    last.kill()
    worker.kill()
    until(lambda: [one.pid for one in pool.processes()] == [left], what="the end of all others")
    fresh = project.ready(1)
    fresh.until_runs(parent)
    fresh.until_said(f"(process group {worker.pid}) outlives its pool; it is left alone")
    assert not gone(left)


@each_kind
def test_after_everything_was_killed_a_new_pool_runs_every_job(project: Project) -> None:
    pool = project.ready(2)
    running = project.dispatch_many("Held", 2)
    for id in running:
        project.ledger.until("start", id)
    waiting = project.dispatch_many("Quick", 30)
    later = project.dispatch("Quick", delay=1)
    pool.kill_tree()
    project.ledger.open()
    fresh = project.pool(2, "--until-empty")
    assert fresh.wait_exit(20) == 0
    ledger = project.ledger
    assert ledger.times("end") == dict.fromkeys([*running, *waiting, later], 1)
    begun = [line.at for line in ledger.lines("start") if line.id in waiting]
    again = [ledger.lines("start", id)[1].at for id in running]
    assert min(again) < min(begun), "claimed by the dead go first"
    assert project.total("crashed") == 2
    assert project.engine.registered() == []
    assert project.engine.nodes() == []


@pytest.mark.parametrize("engine_url", ["redis", "sqlite"], indirect=True)
def test_jobs_of_a_killed_pool_start_again_at_once_on_its_host(project: Project) -> None:
    """Not after --node-ttl: the new pool sees that the old one's processes are gone."""
    pool = project.ready(1, "--node-ttl=600")
    running = project.dispatch("Held")
    pool.until_runs(running)
    pool.kill_tree()
    fresh = project.ready(1, "--node-ttl=600")
    fresh.until_runs(running, 2)
    project.ledger.open()
    until(project.settled)


@sqlite
def test_a_running_pool_takes_over_from_one_that_is_killed_beside_it(project: Project) -> None:
    survivor = project.ready(1, "--node-ttl=1.5", "--queue=none,default", "--name=survivor")
    hostage = project.dispatch("Held", {"gate": "never"}, queue="none")
    survivor.until_runs(hostage)
    pool = project.ready(1, "--node-ttl=600")
    running = project.dispatch("Held")
    pool.until_runs(running)
    project.ledger.until("start", running)
    pool.kill_tree()
    project.ledger.open("never")
    survivor.until_runs(running, 3)
    project.ledger.open()
    until(project.settled)
    assert project.ledger.times("start") == {hostage: 1, running: 2}


@each_kind
def test_a_death_that_a_killed_keeper_did_not_report_is_recovered(project: Project) -> None:
    pool = project.ready(2, "--node-ttl=600")
    running = project.dispatch("Held")
    worker = pool.until_runs(running)
    project.ledger.until("start", running)
    keeper = until(pool.keeper)
    keeper.kill(signal.SIGSTOP)
    worker.kill()
    pool.until_said(f"(pid {worker.pid}) killed")
    keeper.kill()
    project.ledger.until("start", running, 2, timeout=5)
    project.ledger.open()
    until(project.settled)
    assert project.ledger.times("end") == {running: 1}
    assert project.total("crashed") == 1


@redis_and_sqlite
def test_a_registration_without_a_process_is_recovered(project: Project) -> None:
    """A worker's registration may arrive when its death was dealt with already."""
    pool = project.ready(1, "--node-ttl=1", "--queue=other")
    (node,) = project.engine.nodes()
    (id,) = project.dispatch_many("Quick", 1)
    ghost = f"{node.node}:99"

    def claimed() -> list[Claim]:
        """A beat may fall between the two, which ends the ghost before it has claimed."""
        project.engine.register(registration(ghost, node.node))
        with suppress(Fenced):
            return project.engine.step(ghost, 1, [], 1, None).claims
        return []

    (claim,) = until(claimed)
    assert claim.id == id
    until(lambda: project.engine.find(id).status == "ready", 5, "the job to be given back")
    pool.until_said(f"worker {ghost}")
    assert [one.worker for one in project.engine.registered()] != [ghost]


@redis_and_sqlite
def test_a_keeper_that_hangs_delays_no_job_beyond_sleep(project: Project) -> None:
    pool = project.ready(2, "--sleep=2")
    keeper = until(pool.keeper)
    keeper.kill(signal.SIGSTOP)
    for id in project.dispatch_many("Quick", 2):
        project.ledger.until("end", id, timeout=5)
    assert "was silent" not in pool.log


@redis_and_sqlite
def test_a_lost_wake_up_does_not_lose_the_job(project: Project) -> None:
    """It stands for one that dies in that moment."""
    pool = project.ready(2, "--sleep=4")
    deaf, other = pool.until_idle(2)
    deaf.kill(signal.SIGSTOP)
    for _ in range(3):  # rings go to the two in turn
        project.ledger.until("end", project.dispatch("Quick"), timeout=6)
    assert {one.pid for one in pool.workers()} == {deaf.pid, other.pid}


HANGS = """
import os, subprocess, time
from poolq import Job
from tests.support.ledger import note

class Hangs(Job):
    def run(self):
        note("child", str(subprocess.Popen(["sleep", "600"]).pid))
        note("start", self.id)
        time.sleep(600)
"""


@sqlite
@jobs(HANGS)
def test_an_orphan_is_killed_at_its_deadline_by_the_keeper(project: Project) -> None:
    pool = project.ready(2)
    pool.stop_master()  # which would kill it if the test took longer than a second
    id = project.dispatch("Hangs", timeout="1 second", attempts=2)
    worker = pool.until_runs(id)
    project.ledger.until("start", id)
    pool.kill_master()
    pool.until_gone()
    assert gone(worker.pid)
    assert all(gone(int(child)) for child in project.ledger.ids("child"))
    assert project.ledger.times("start") == {id: 1}
    (line,) = entries(project.engine.find(id).state.history)
    assert (line.cause, line.attempt) == ("timeout", 1)
    assert "in run" in pool.log, "its stack"
    assert project.engine.nodes() == []


@redis_and_sqlite
@jobs(HANGS)
def test_workers_that_are_alone_are_killed_when_their_jobs_are_released(project: Project) -> None:
    pool = project.ready(1, "--node-ttl=1.2")
    id = project.dispatch("Hangs", attempts=1)
    worker = pool.until_runs(id)
    pool.stop_master()
    pool.kill_keeper()
    pool.kill_master()
    other = project.ready(1, "--node-ttl=1.2", "--name=other")
    other.until_said("are dead; killed 1 of its workers")
    until(lambda: gone(worker.pid))
    other.until_runs(id)
    pool.until_gone()
