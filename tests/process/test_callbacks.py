"""What an application registers, in the processes of a real pool."""

from __future__ import annotations

import signal

import pytest

from tests.process.engines import sqlite
from tests.support.project import Project
from tests.support.wait import until

JOBS = """
import os
import poolq
from tests.support.ledger import note

@poolq.on.loaded
def loaded():
    note("loaded", str(os.getpid()))

@poolq.on.started
def started():
    note("started", str(os.getpid()))

@poolq.on.stopping
def stopping():
    note("stopping", str(os.getpid()))
    raise SystemExit("broken")

@poolq.on.dispatch
def dispatching(draft):
    draft.headers["trace"] = f"trace-of-{draft.job}"

@poolq.around
def around(job):
    note(f"around:{job.attempt}:{job.headers['trace']}", job.id)
    outcome = yield
    note(f"ended:{job.attempt}:{outcome.event}:{type(outcome.error).__name__}", job.id)
    raise RuntimeError("broken, too")

class Flaky(poolq.Job):
    attempts = 2

    def run(self):
        note(f"run:{self.attempt}", self.id)
        if self.payload["fails"] >= self.attempt:
            raise ValueError("no")

    def on_success(self):
        note(f"success:{self.attempt}", self.id)

    def on_failure(self):
        note(f"failure:{self.attempt}", self.id)

class Limited(Flaky):
    def rate_limit(self):
        note(f"asks:{self.attempt}", self.id)
        return poolq.Limit(10, seconds=1)
"""
PRODUCER = """
import jobs, poolq
print(jobs.Flaky.dispatch({"fails": 1}))
print(poolq.dispatch("jobs:Flaky", {"fails": 9}, attempts=2))
print(jobs.Limited.dispatch({"fails": 0}))
"""


def of(project: Project, id: str) -> list[str]:
    """What was noted about a job, by attempt: another worker may begin the next one before the
    callbacks of the last have ended."""
    noted = [line.what for line in project.ledger.lines(id=id)]
    return sorted(noted, key=lambda what: int(what.split(":")[1]))


@sqlite
@pytest.mark.parametrize(("flags", "loads"), [([], 1), (["--no-preload"], 2)])
def test_callbacks_run_where_they_belong(project: Project, flags: list[str], loads: int) -> None:
    pool = project.ready(2, *flags)
    flaky, never, limited = project.produce(PRODUCER).split()
    until(project.settled)
    pool.signal(signal.SIGTERM)
    assert pool.wait_exit() == 0
    trace = "trace-of-jobs:Flaky"
    assert of(project, flaky) == [
        f"around:1:{trace}", "run:1", "ended:1:retried:ValueError",
        f"around:2:{trace}", "run:2", "success:2", "ended:2:done:NoneType",
    ]  # fmt: skip
    assert of(project, never) == [
        f"around:1:{trace}", "run:1", "ended:1:retried:ValueError",
        f"around:2:{trace}", "run:2", "failure:2", "ended:2:failed:ValueError",
    ]  # fmt: skip
    assert of(project, limited) == [
        "asks:1", "around:1:trace-of-jobs:Limited", "run:1", "success:1", "ended:1:done:NoneType",
    ]  # fmt: skip
    assert (project.total("done"), project.total("failed")) == (2, 1)
    ledger = project.ledger
    assert len(ledger.ids("loaded")) == loads
    workers = ledger.ids("started")
    assert len(workers) == 2
    assert sorted(ledger.ids("stopping")) == sorted(workers)
    assert "poolq.on.stopping: stopping raised" in pool.log
    assert pool.log.count("poolq.around: around raised") == 5
