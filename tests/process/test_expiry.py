"""Jobs that are too late, in a real pool: never started, deleted and counted once, whoever dies."""

from __future__ import annotations

from tests.process.conftest import jobs
from tests.process.engines import each_kind, redis_and_sqlite
from tests.support.project import Project
from tests.support.talking import poolq
from tests.support.wait import until

JOBS = """
import os
import poolq
from poolq import Job, Limit
from tests.support.ledger import note

class Alert(Job):
    def run(self):
        note(f"start:{self.attempt}", self.id)
        if self.payload.get("fails"):
            raise ValueError("no")

    def on_expired(self):
        note(f"expired:{self.attempt}", self.id)
        if self.payload.get("breaks"):
            raise ValueError("the hook is broken")

class Slow(Alert):
    def rate_limit(self):
        return Limit(1, seconds=4)

@poolq.job(on_expired=lambda job: note("expired:function", job.id))
def plain(name):
    note("start:1", poolq.current().id)
"""


@each_kind
def test_a_job_that_is_too_late_is_not_started(project: Project) -> None:
    pool = project.ready(2)
    first = project.dispatch("Slow", on_limit="park")
    project.ledger.until("start:1", first)
    parked = project.dispatch("Slow", on_limit="park", expires="3s")
    pool.until_said(f"limited jobs:Slow {parked}")
    project.engine.pause("default")  # so that none begins before its time is over
    behind = project.dispatch("Slow", on_limit="park", expires="10m")
    live = project.dispatch("Alert", expires="10m")
    late = project.dispatch("Alert", expires="1ms")
    broken = project.dispatch("Alert", {"breaks": True}, expires="1ms")
    function = project.produce("import jobs; print(jobs.plain.set(expires='1ms').dispatch('a'))")
    gone = project.engine.now() + 3_000_000
    until(lambda: project.engine.now() > gone)
    project.engine.resume("default")
    retried = project.dispatch("Alert", {"fails": True}, expires="3s", attempts=9, retry_after="4s")
    until(project.settled, 30)
    project.ledger.until("expired:1", retried)  # the hook comes after the settlement
    started = {id for n in range(1, 10) for id in project.ledger.ids(f"start:{n}")}
    assert started == {first, behind, live, retried}
    assert project.ledger.ids("start:1").count(retried) == 1
    assert project.ledger.times("expired:1") == dict.fromkeys([parked, late, broken, retried], 1)
    assert project.ledger.ids("expired:function") == [function.strip()]
    assert {name: project.total(name) for name in ("done", "expired", "failed", "retried")} == {
        "done": 3, "expired": 5, "failed": 0, "retried": 1,
    }  # fmt: skip
    for id in (parked, late, broken, retried):
        said = f"expired jobs:{'Slow' if id == parked else 'Alert'} {id}"
        assert pool.until_said(said).count(said) == 1
    pool.until_said("the hook is broken")
    status = poolq(pool, "status", "--json").json
    assert sum(worker["expired"] for worker in status["workers"]) == 5


#: The first two workers die when they have judged a job, the third when the engine has accepted.
DYING = (
    JOBS
    + """
from pathlib import Path
from poolq.worker.execute import Executor
from poolq.worker.job_hooks import HookRunner

judge, settled = Executor.expired, HookRunner.after_settling

def dies_once(name):
    try:
        Path(name).touch(exist_ok=False)
    except FileExistsError:
        return
    os.kill(os.getpid(), 9)

def expired(self, ready, late):
    result = judge(self, ready, late)
    dies_once("first")
    dies_once("second")
    return result

def after_settling(self, ready, outcome, error):
    dies_once("third")
    settled(self, ready, outcome, error)

Executor.expired, HookRunner.after_settling = expired, after_settling
"""
)


@redis_and_sqlite
@jobs(DYING)
def test_a_worker_that_dies_over_an_expired_job_changes_nothing(project: Project) -> None:
    """The job was not started, so its return is no crash. Its hook runs at most once."""
    silent = project.dispatch("Alert", expires="1ms")
    late = project.dispatch("Alert", expires="1ms")
    pool = project.pool(1, "--until-empty")
    assert pool.wait_exit() == 0
    assert all((project.folder / name).exists() for name in ("first", "second", "third"))
    assert project.ledger.ids("expired:1") == [late], f"{silent} was settled by the third"
    assert project.ledger.ids("start:1") == []
    assert {name: project.total(name) for name in ("expired", "crashed", "failed")} == {
        "expired": 2, "crashed": 0, "failed": 0,
    }  # fmt: skip
