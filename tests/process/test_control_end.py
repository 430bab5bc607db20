"""`poolq drain` and `poolq stop` of a real pool."""

from __future__ import annotations

from tests.process.engines import sqlite
from tests.support.project import Project
from tests.support.talking import begin, ended, files, poolq
from tests.support.wait import until

pytestmark = sqlite


def test_drain_waits_for_jobs_beyond_the_stop_timeout(project: Project) -> None:
    pool = project.ready(2, "--stop-timeout=0.2")
    id = project.dispatch("Held")
    pool.until_runs(id)
    late = poolq(pool, "drain", "--wait", "--timeout=0.5")
    assert late.code == 75
    found = poolq(pool, "status", "--json")
    assert (found.code, found.json["state"]) == (3, "draining")
    for refused in ("reload", "pause", "resume"):
        assert "the pool is draining" in poolq(pool, refused).line
    waits = begin(pool, "drain", "--wait")
    until(lambda: len(files(pool.pid)) == 3, 10, "the client at the master")
    project.ledger.open()
    done = ended(waits)
    assert (done.code, done.out) == (0, "pool default has ended\n")
    assert pool.wait_exit(2) == 0
    assert project.ledger.times("end") == {id: 1}
    assert list(pool.runtime.iterdir()) == []


def test_stop_limits_a_drain(project: Project) -> None:
    pool = project.ready(1, "--stop-timeout=0.2")
    id = project.dispatch("Held")
    pool.until_runs(id)
    drain = begin(pool, "drain", "--wait")
    pool.until_said("poolq drain by ")
    stop = poolq(pool, "stop", "--wait")
    assert (stop.code, stop.out) == (0, "pool default has ended\n")
    assert "with exit code 5" in ended(drain).line
    assert pool.wait_exit() == 5
    assert project.engine.counts()[0].ready == 1


def test_stop_now_releases_running_jobs(project: Project) -> None:
    pool = project.ready(1)
    id = project.dispatch("Held")
    pool.until_runs(id)
    stopped = poolq(pool, "stop", "--now", "--wait", "--json")
    assert stopped.json == {"pool": "default", "ended": True, "exit_code": 5}
    assert (stopped.code, pool.wait_exit()) == (0, 5)
    again = project.ready(1)
    project.ledger.open()
    project.ledger.until("end", id)
    assert again.code is None


def test_a_drain_fails_if_the_master_is_killed(project: Project) -> None:
    pool = project.ready(1)
    pool.until_runs(project.dispatch("Held"))
    waits = begin(pool, "drain", "--wait")
    pool.until_said("poolq drain by ")
    pool.kill_master()
    done = ended(waits)  # though its worker and keeper live on
    assert done.code == 1
    assert "ended without an answer" in done.line
    assert pool.processes()
    project.ledger.open()
    pool.until_gone()
