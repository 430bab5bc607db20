"""Jobs that a person ends: cancelled or given back, whatever dies meanwhile, and no other job."""

from __future__ import annotations

import signal

from poolq.jobs.message import entries
from tests.process.engines import each_kind, redis_and_sqlite, sqlite
from tests.support.pool import gone
from tests.support.project import Project
from tests.support.talking import poolq
from tests.support.wait import until


@each_kind
def test_a_running_job_is_cancelled_and_the_jobs_behind_it_run(project: Project) -> None:
    pool = project.ready(1)
    running = project.dispatch("Held")
    worker = pool.until_runs(running)
    project.ledger.until("start", running)
    waiting = project.dispatch_many("Quick", 3)
    asked = poolq(pool, "kill", "1")
    assert (asked.code, asked.out) == (2, "")
    assert f"Kill worker 1 (pid {worker.pid}), which has run jobs:Held {running} for" in asked.line
    assert "and cancel the job? There is no terminal to ask on; give --yes" in asked.line
    assert not gone(worker.pid)
    killed = poolq(pool, "kill", "1", "--yes")
    who = f"worker 1 (pid {worker.pid})"
    assert (killed.code, killed.err) == (0, "")
    assert killed.out == f"{who} was killed; its job jobs:Held {running} is cancelled\n"
    until(project.settled)
    assert project.engine.find(running) is None
    assert project.ledger.ids("start") == [running, *waiting]
    assert project.ledger.ids("end") == waiting
    totals = {name: project.total(name) for name in ("done", "cancelled", "crashed", "failed")}
    assert totals == {"done": 3, "cancelled": 1, "crashed": 0, "failed": 0}
    pool.until_said(f": {who} killed; its job jobs:Held {running} is cancelled")
    pool.until_said(f"cancelled {running}, which was running: {who} died")
    until(lambda: pool.zombies() == [], 10, "all dead reaped")
    again = poolq(pool, "kill", running, "--yes")
    assert (again.code, again.out) == (1, "")
    assert again.line.startswith(f"no worker of this pool runs job {running}")


@redis_and_sqlite
def test_a_job_that_is_given_back_runs_again_first_and_has_used_nothing(project: Project) -> None:
    pool = project.ready(1)
    running = project.dispatch("Held", attempts=1, max_crashes=1)
    worker = pool.until_runs(running)
    project.ledger.until("start", running)
    waiting = project.dispatch_many("Quick", 3)
    killed = poolq(pool, "kill", running[:20], "--give-back", "--yes")
    assert killed.out.endswith(f"its job jobs:Held {running} is given back\n")
    first, second = project.ledger.until("start", running, 2)
    assert (first.pid, second.pid != worker.pid) == (worker.pid, True)
    stored = project.engine.find(running)
    assert stored is not None
    assert (stored.state.attempt, stored.state.crashes) == (0, 0)
    (line,) = entries(stored.state.history)
    assert line.cause == "returned"
    assert "was killed by a request to give its job back" in line.error
    project.ledger.open()
    until(project.settled)
    assert project.ledger.ids("end") == [running, *waiting]
    totals = {name: project.total(name) for name in ("done", "cancelled", "crashed", "retried")}
    assert totals == {"done": 4, "cancelled": 0, "crashed": 0, "retried": 0}


@sqlite
def test_a_job_is_cancelled_while_there_is_no_keeper(project: Project) -> None:
    """The next keeper finds in the worker's row what is to be done."""
    pool = project.ready(1)
    running = project.dispatch("Parent")
    pool.until_runs(running)
    (child,) = project.ledger.until("child")
    pool.stop_master()
    pool.kill_keeper()
    pool.continue_master()
    assert poolq(pool, "kill", running, "--yes").code == 0
    until(project.settled)
    assert project.ledger.times("start") == {running: 1}
    assert (project.total("cancelled"), project.total("crashed")) == (1, 0)
    until(lambda: gone(int(child.id)), 5, "its subprocess's end")


@sqlite
def test_a_worker_that_a_killed_master_had_stopped_goes_on(project: Project) -> None:
    """The master stops a worker to see whether it still runs the job."""
    pool = project.ready(1)
    running = project.dispatch("Held")
    worker = pool.until_runs(running)
    worker.kill(signal.SIGSTOP)
    pool.kill_master()
    project.ledger.open()
    pool.until_gone()
    assert project.ledger.times("end") == {running: 1}
    assert project.total("done") == 1


@sqlite
def test_a_draining_pool_ends_when_its_last_job_is_cancelled(project: Project) -> None:
    pool = project.ready(2)
    running = project.dispatch("Held")
    pool.until_runs(running)
    assert poolq(pool, "drain").code == 0
    pool.until_said("poolq drain by ")
    killed = poolq(pool, "kill", running, "--yes", "--json").json
    assert (killed["pool"], killed["id"]) == ("default", running)
    assert killed["end"] == "cancelled"
    assert pool.wait_exit() == 0, "it was not the end of the pool that killed the job"
    assert (project.total("cancelled"), project.left()) == (1, 0)
