"""What jobs leave in their worker harms neither the next job nor the pool nor the log; what a pool
inherits from its parent harms no job."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.process.conftest import jobs
from tests.process.engines import on, redis_and_sqlite, sqlite
from tests.support.by_hand import call
from tests.support.cli import environment
from tests.support.ledger import FOLDER
from tests.support.project import STANDARD, Project
from tests.support.wait import until

JOBS = (
    STANDARD.read_text()
    + """
import ctypes, resource, sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from threading import Event
from time import monotonic, sleep

def fork(where, job):
    if job.payload.get("where") == where and os.fork() == 0:
        note("child", job.id)

class Forks(Job):
    def rate_limit(self):
        fork("limit", self)
    def run(self):
        note("start", self.id)
        if self.payload["where"] == "failure":
            raise ValueError("no luck")
        fork("run", self)
    def on_success(self):
        note("hook", self.id)
        fork("success", self)
    def on_failure(self):
        note("hook", self.id)
        fork("failure", self)

class Takes(Job):
    def run(self):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        signal.set_wakeup_fd(-1)
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        note("start", self.id)

class Long(Job):
    def run(self):
        note("start", self.id)
        Event().wait(0.5)
        note(f"true:{os.system('true')}", self.id)

class Alarms(Job):
    attempts = 1
    def run(self):
        if left := self.payload.get("leaves"):
            signal.signal(signal.SIGALRM, fail)
            signal.setitimer(signal.ITIMER_REAL, left)
        if burns := self.payload.get("burns"):
            end = monotonic() + burns
            while monotonic() < end:
                pass
            note("burnt", self.id)

def fail(*_):
    raise RuntimeError("an alarm of another job")

class Closes(Job):
    def run(self):
        note("start", self.id)
        sys.stdout.close()
        sys.stderr = None

class Keeps(Job):
    kept = []
    def run(self):
        made = self.payload["pool"]
        pool = ProcessPoolExecutor(2) if made == "executor" else get_context(made).Pool(2)
        self.kept.append(pool)
        note(f"sum:{sum(pool.map(abs, [-1, -2]))}", self.id)
        later = pool.submit if made == "executor" else pool.apply_async
        for _ in range(20):
            later(sleep, *[600] if made == "executor" else [[600]])

def give_up_capabilities():
    header, none = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    assert ctypes.CDLL(None).capset(header, none) == 0

class Lowers(Job):
    def run(self):
        note("start", self.id)
        limit = getattr(resource, self.payload["limit"])
        to, hard = self.payload["to"], resource.getrlimit(limit)[1]
        if self.payload["hard"]:  # as a user other than root
            give_up_capabilities()
            hard = to
        resource.setrlimit(limit, (to, hard))
        if self.payload.get("raises"):
            raise ValueError("no luck")

class Moves(Job):
    def run(self):
        os.chdir(self.payload["folder"])
        os.umask(0o077)
        note("moved", self.id)

class Writes(Job):
    def run(self):
        umask = os.umask(0)
        os.umask(umask)
        note(f"in:{os.getcwd()}:{umask:o}", self.id)
"""
)

DISPATCHES = """
class Dispatches(Job):
    def run(self):
        Quick.dispatch()
"""


@sqlite
def test_a_child_that_a_job_forks_never_continues_as_a_worker(project: Project) -> None:
    pool = project.ready(1)
    forks: list[str] = []
    others: list[str] = []
    for where in ("limit", "run", "success", "failure"):
        forks.append(project.dispatch("Forks", {"where": where}))
        others += project.dispatch_many("Quick", 20)
        project.ledger.until("child", forks[-1])
        until(project.settled)
        pool.until_idle(1)
    pool.signal(signal.SIGTERM)
    assert pool.wait_exit() == 0
    assert project.ledger.times("start") == dict.fromkeys([*forks, *others], 1)
    assert project.ledger.times("hook") == dict.fromkeys(forks, 1)
    assert "comes after" not in pool.log, "two who step as one worker"


@sqlite
def test_neither_an_alarm_nor_a_handler_outlives_its_job(project: Project) -> None:
    pool = project.ready(1)
    (worker,) = pool.workers()
    takes, long = project.dispatch("Takes"), project.dispatch("Long")
    (line,) = project.ledger.until("true:0", long)
    assert line.pid == worker.pid
    assert project.ledger.times("start") == {takes: 1, long: 1}
    pool.until_idle(1)
    pool.signal(signal.SIGTERM)
    assert pool.wait_exit() == 0
    assert "killed" not in pool.log.replace("before being killed and released", "")


@sqlite
def test_an_alarm_of_a_short_job_hits_no_short_job_after_it(project: Project) -> None:
    """Not even one that turns out to be long, in the same batch."""
    pool = project.ready(1)
    project.dispatch_many("Alarms", 200)
    until(project.settled)
    ids = project.dispatch_many("Alarms", [{"leaves": 0.3}, {"burns": 0.7}, *[{}] * 28])
    until(project.settled, 30)
    assert project.ledger.ids("burnt") == [ids[1]]
    assert project.failed() == {}
    assert "SIGALRM" not in pool.log
    assert "crashed" not in pool.log


@sqlite
def test_a_worker_without_streams_ends_like_any_other(project: Project) -> None:
    project.dispatch("Closes")
    pool = project.pool(1, "--until-empty")
    assert pool.wait_exit() == 0
    assert "exited with code" not in pool.log


@sqlite
@pytest.mark.parametrize("made", ["executor", "fork"])
def test_pools_of_processes_end_with_their_worker(project: Project, made: str) -> None:
    """Also one that has a new process as soon as one of its own has ended."""
    keeps = project.dispatch("Keeps", {"pool": made})
    pool = project.pool(1, "--until-empty")
    pool.until_gone()  # multiprocessing's own processes end a moment after the worker
    assert pool.code == 0
    assert project.ledger.ids("sum:3") == [keeps]


@on("redis")
def test_an_engine_that_contradicts_a_worker_costs_one_line(project: Project) -> None:
    pool = project.ready(1)
    (worker,) = project.engine.registered()
    call(project.engine, "HSET", f"worker:{worker.worker}", "#request", 10**6)
    quick = project.dispatch("Quick")
    pool.until_said("exiting; a new worker will replace this one")
    project.ledger.until("start", quick)
    assert "Traceback" not in pool.log


@sqlite
@jobs("import os\nos._exit(7)\n")
def test_a_pool_whose_first_worker_dies_reports_it(project: Project) -> None:
    pool = project.pool(1, "--no-preload")
    assert pool.wait_exit() == 3
    assert "exited with code 7" in pool.log
    assert "the first worker did not become ready, so the pool ends" in pool.log


@sqlite
def test_a_pool_runs_without_standard_descriptors(project: Project) -> None:
    quick = project.dispatch("Quick")
    words = [sys.executable, "-m", "poolq", "run", "--until-empty", "--engine", project.url]
    words += ["--namespace", project.namespace, "--procs=1"]
    closed = f"exec {shlex.join(words)} <&- >&- 2>&-"
    env = environment(**{FOLDER: str(project.folder), "RUNTIME_DIRECTORY": str(project.folder)})
    subprocess.run(["sh", "-c", closed], cwd=project.folder, env=env, timeout=60, check=True)
    assert project.ledger.ids("start") == [quick]


@on("redis")
@jobs(JOBS + DISPATCHES)
def test_jobs_dispatch_to_the_engine_that_their_pool_serves(project: Project) -> None:
    for flag in ("--until-empty", "--no-preload"):
        project.dispatch("Dispatches")
        pool = project.pool(1, "--until-empty", flag)
        assert pool.wait_exit() == 0
    assert len(project.ledger.ids("start")) == 2
    assert not (project.folder / "poolq.db").exists(), "the default engine's file"


@redis_and_sqlite
@pytest.mark.parametrize(
    ("limit", "to"), [("RLIMIT_NOFILE", 0), ("RLIMIT_FSIZE", 0), ("RLIMIT_AS", 1 << 20)]
)
def test_a_worker_whose_limits_a_job_has_lowered_for_good_is_replaced(
    project: Project, limit: str, to: int
) -> None:
    """It could neither write nor connect; nor could the jobs that follow."""
    pool = project.ready(1)
    (old,) = pool.ready()
    lowers = project.dispatch("Lowers", {"limit": limit, "to": to, "hard": True})
    until(lambda: [one.pid for one in pool.ready()] not in ([], [old.pid]), what="another worker")
    others = project.dispatch_many("Quick", 5)
    until(project.settled)
    assert sorted(project.ledger.ids("start")) == sorted([lowers, *others])
    assert project.total("done") == 6


@sqlite
def test_a_job_whose_end_its_worker_can_no_longer_write_crashes_it(project: Project) -> None:
    pool = project.ready(1)
    what = {"limit": "RLIMIT_FSIZE", "to": 0, "hard": True, "raises": True}
    lowers = project.dispatch("Lowers", what, attempts=100, max_crashes=2)
    until(project.settled)
    assert project.ledger.times("start") == {lowers: 2}
    state = project.failed()[lowers].state
    assert (state.attempt, state.crashes) == (0, 2)
    pool.until_said("a job has lowered RLIMIT_FSIZE of its worker to 0; exiting", times=2)


@redis_and_sqlite
def test_limits_that_a_job_has_lowered_are_raised_again(project: Project) -> None:
    pool = project.ready(1)
    (old,) = pool.ready()
    for limit in ("RLIMIT_NOFILE", "RLIMIT_FSIZE"):
        project.dispatch("Lowers", {"limit": limit, "to": 3, "hard": False})
        until(project.settled)
        pool.until_idle(1)
        project.dispatch_many("Quick", 5)
        until(project.settled)
    assert project.total("done") == 12
    assert [one.pid for one in pool.until_idle(1)] == [old.pid]


@redis_and_sqlite
def test_the_working_directory_and_the_umask_are_those_that_the_worker_began_with(
    project: Project, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    pool = project.ready(1)
    (old,) = pool.ready()
    umask = os.umask(0)
    os.umask(umask)
    for _ in range(2):
        project.dispatch("Moves", {"folder": str(elsewhere)})
        until(project.settled)
        pool.until_idle(1)
        writes = project.dispatch("Writes")
        project.ledger.until(f"in:{project.folder}:{umask:o}", writes)
    assert [worker.pid for worker in pool.until_idle(1)] == [old.pid]
