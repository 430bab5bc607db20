"""What jobs leave in their worker harms neither the next job nor the pool nor the log; what a pool
inherits from its parent harms no job."""

from __future__ import annotations

import shlex
import signal
import subprocess
import sys

import pytest
import redis

from tests.process.conftest import MakeProject
from tests.process.engines import on, redis_and_sqlite, sqlite
from tests.support.cli import environment
from tests.support.ledger import FOLDER
from tests.support.project import Project
from tests.support.wait import until

JOBS = """
import ctypes, os, resource, signal, sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from threading import Event
from time import monotonic, sleep
from poolq import Job
from tests.support.ledger import note

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

class Quick(Job):
    def run(self):
        note("start", self.id)

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

class Odd(Exception):
    def __str__(self):
        sys.exit("odd")

class Unprintable(Job):
    def run(self):
        note("start", self.id)
        raise Odd
"""

DISPATCHES = """
class Dispatches(Job):
    def run(self):
        Quick.dispatch()
"""


@pytest.fixture
def rude(make_project: MakeProject, engine_url: str) -> Project:
    return make_project(engine_url, JOBS)


@sqlite
def test_a_child_that_a_job_forks_never_continues_as_a_worker(rude: Project) -> None:
    pool = rude.ready(1)
    forks: list[str] = []
    others: list[str] = []
    for where in ("limit", "run", "success", "failure"):
        forks.append(rude.dispatch("Forks", {"where": where}))
        others += rude.dispatch_many("Quick", 20)
        rude.ledger.until("child", forks[-1])
        until(rude.settled)
        pool.until_idle(1)
    pool.signal(signal.SIGTERM)
    assert pool.wait_exit() == 0
    assert rude.ledger.times("start") == dict.fromkeys([*forks, *others], 1)
    assert rude.ledger.times("hook") == dict.fromkeys(forks, 1)
    assert "comes after" not in pool.log, "two who step as one worker"


@sqlite
def test_neither_an_alarm_nor_a_handler_outlives_its_job(rude: Project) -> None:
    pool = rude.ready(1)
    (worker,) = pool.workers()
    takes, long = rude.dispatch("Takes"), rude.dispatch("Long")
    (line,) = rude.ledger.until("true:0", long)
    assert line.pid == worker.pid
    assert rude.ledger.times("start") == {takes: 1, long: 1}
    pool.until_idle(1)
    pool.signal(signal.SIGTERM)
    assert pool.wait_exit() == 0
    assert "killed" not in pool.log.replace("are then killed and released", "")


@sqlite
def test_an_alarm_of_a_short_job_hits_no_short_job_after_it(rude: Project) -> None:
    """Not even one that turns out to be long, in the same batch."""
    pool = rude.ready(1)
    rude.dispatch_many("Alarms", 200)
    until(rude.settled)
    ids = rude.dispatch_many("Alarms", [{"leaves": 0.3}, {"burns": 0.7}, *[{}] * 28])
    until(rude.settled, 30)
    assert rude.ledger.ids("burnt") == [ids[1]]
    assert rude.failed() == {}
    assert "SIGALRM" not in pool.log
    assert "crashed" not in pool.log


@sqlite
def test_a_worker_without_streams_ends_like_any_other(rude: Project) -> None:
    rude.dispatch("Closes")
    pool = rude.pool(1, "--until-empty")
    assert pool.wait_exit() == 0
    assert "exited with code" not in pool.log


@sqlite
@pytest.mark.parametrize("made", ["executor", "fork"])
def test_pools_of_processes_end_with_their_worker(rude: Project, made: str) -> None:
    """Also one that has a new process as soon as one of its own has ended."""
    keeps = rude.dispatch("Keeps", {"pool": made})
    pool = rude.pool(1, "--until-empty")
    pool.until_gone()  # multiprocessing's own processes end a moment after the worker
    assert pool.code == 0
    assert rude.ledger.ids("sum:3") == [keeps]


@sqlite
def test_an_error_whose_text_raises_fails_only_its_job(rude: Project) -> None:
    odd = rude.dispatch("Unprintable")
    pool = rude.pool(1, "--until-empty")
    assert pool.wait_exit() == 0
    assert rude.ledger.ids("start") == [odd]
    assert list(rude.failed()) == [odd]
    assert "exited with code" not in pool.log


@on("redis")
def test_an_engine_that_contradicts_a_worker_costs_one_line(rude: Project) -> None:
    pool = rude.ready(1)
    (worker,) = rude.engine.registered()
    with redis.Redis.from_url(rude.url) as client:
        client.hset(f"{{{rude.namespace}}}:worker:{worker.worker}", "#request", 10**6)
    quick = rude.dispatch("Quick")
    pool.until_said("exiting; a new worker will replace this one")
    rude.ledger.until("start", quick)
    assert "Traceback" not in pool.log


@sqlite
def test_a_pool_whose_first_worker_dies_reports_it(
    make_project: MakeProject, engine_url: str
) -> None:
    pool = make_project(engine_url, "import os\nos._exit(7)\n").pool(1, "--no-preload")
    assert pool.wait_exit() == 3
    assert "exited with code 7" in pool.log
    assert "the first worker did not become ready, so the pool ends" in pool.log


@sqlite
def test_a_pool_runs_without_standard_descriptors(rude: Project) -> None:
    quick = rude.dispatch("Quick")
    words = [sys.executable, "-m", "poolq", "run", "--until-empty", "--engine", rude.url]
    words += ["--namespace", rude.namespace, "--procs=1"]
    closed = f"exec {shlex.join(words)} <&- >&- 2>&-"
    env = environment(**{FOLDER: str(rude.folder), "RUNTIME_DIRECTORY": str(rude.folder)})
    subprocess.run(["sh", "-c", closed], cwd=rude.folder, env=env, timeout=60, check=True)
    assert rude.ledger.ids("start") == [quick]


@on("redis")
def test_jobs_dispatch_to_the_engine_that_their_pool_serves(
    make_project: MakeProject, engine_url: str
) -> None:
    project = make_project(engine_url, JOBS + DISPATCHES)
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
    rude: Project, limit: str, to: int
) -> None:
    """It could neither write nor connect; nor could the jobs that follow."""
    pool = rude.ready(1)
    (old,) = pool.ready()
    lowers = rude.dispatch("Lowers", {"limit": limit, "to": to, "hard": True})
    until(lambda: [one.pid for one in pool.ready()] not in ([], [old.pid]), what="another worker")
    others = rude.dispatch_many("Quick", 5)
    until(rude.settled)
    assert sorted(rude.ledger.ids("start")) == sorted([lowers, *others])
    assert rude.total("done") == 6


@sqlite
def test_a_job_whose_end_its_worker_can_no_longer_write_crashes_it(rude: Project) -> None:
    pool = rude.ready(1)
    what = {"limit": "RLIMIT_FSIZE", "to": 0, "hard": True, "raises": True}
    lowers = rude.dispatch("Lowers", what, attempts=100, max_crashes=2)
    until(rude.settled)
    assert rude.ledger.times("start") == {lowers: 2}
    state = rude.failed()[lowers].state
    assert (state.attempt, state.crashes) == (0, 2)
    pool.until_said("a job has lowered RLIMIT_FSIZE of its worker to 0; exiting", times=2)


@redis_and_sqlite
def test_limits_that_a_job_has_lowered_are_raised_again(rude: Project) -> None:
    pool = rude.ready(1)
    (old,) = pool.ready()
    for limit in ("RLIMIT_NOFILE", "RLIMIT_FSIZE"):
        rude.dispatch("Lowers", {"limit": limit, "to": 3, "hard": False})
        until(rude.settled)
        pool.until_idle(1)
        rude.dispatch_many("Quick", 5)
        until(rude.settled)
    assert rude.total("done") == 12
    assert [one.pid for one in pool.until_idle(1)] == [old.pid]
