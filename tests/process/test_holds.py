"""Held limits in running pools: by a job that was told to wait, and by a person."""

from __future__ import annotations

import time

import pytest

from poolq.jobs.message import State
from tests.contract.helpers import stored
from tests.process.engines import each_kind, sqlite
from tests.support.cli import Done
from tests.support.pool import Pool
from tests.support.project import Project
from tests.support.talking import poolq, status
from tests.support.wait import until

JOBS = """
import os
from pathlib import Path

import poolq
from poolq import Job, Limit
from tests.support.ledger import note

class Pay(Job):
    "Is told to wait until the service is open."

    on_limit = "release"

    def rate_limit(self):
        return Limit(1000, seconds=1, key="stripe")

    def run(self):
        note("call", self.id)
        if not Path(os.environ["LEDGER"], "service.open").exists():
            raise poolq.Hold("stripe", self.payload["hold"])
        note("run", self.id)

class Unlimited(Pay):
    def rate_limit(self):
        return None

class Grouped(Unlimited):
    "Its hold comes out of a task group."

    async def run(self):
        import asyncio
        async with asyncio.TaskGroup() as group:
            group.create_task(self.call())

    async def call(self):
        super().run()

class Other(Job):
    def run(self):
        note("run", self.id)

@poolq.around
def around(job):
    outcome = yield
    note(f"ended:{outcome.event}", job.id)
"""
PRODUCE = "import jobs\nfor _ in range({}): print(jobs.{}.dispatch({!r}))"


def produce(project: Project, job: str, count: int, hold: str) -> list[str]:
    return project.produce(PRODUCE.format(count, job, {"hold": hold})).split()


def limit(project: Project, pool: Pool, *args: str) -> Done:
    """A command `poolq limit`, in the project."""
    where = ("--engine", project.url, "--namespace", project.namespace)
    return poolq(pool, "limit", args[0], *where, "--", *args[1:])


def open_service(project: Project) -> None:
    (project.folder / "service.open").touch()


def calls(project: Project) -> list[str]:
    return project.ledger.ids("call")


@each_kind
def test_all_jobs_of_the_key_wait_while_one_holds_it(project: Project) -> None:
    """They use no attempt, although their limit would release them, and start in order."""
    ids = produce(project, "Pay", 20, "1h")
    pool = project.ready(1)
    pool.until_said(f"held jobs:Pay {ids[0]} queue=default attempt=1")
    until(lambda: project.total("parked") == 20)
    assert calls(project) == ids[:1], "nobody but the first has called the service"
    assert project.ledger.ids("ended:held") == ids[:1]
    other = project.dispatch("Other")
    project.ledger.until("run", other)
    pool.until_said("keeper: limit key stripe is held for")
    (rate, own) = until(lambda: shown(pool), 20, "the limit and its hold")
    assert (rate["state"], rate["waiting"], rate["window"]) == ("held", 20, 1.0)
    assert (own["state"], own["limit"], own["waiting"]) == ("held", 0, 0)
    assert 3500 < rate["hold"] <= 3600
    assert stored(project.engine, ids[0]).state == State()
    open_service(project)
    assert limit(project, pool, "reset", "stripe").out == "limit key stripe is no longer held\n"
    until(lambda: len(project.ledger.ids("run")) == 21)
    assert [id_ for id_ in project.ledger.ids("run") if id_ != other] == ids
    assert (project.total("limited"), project.total("failed")) == (0, 0)
    pool.until_said("limit key stripe is no longer held, after")


def shown(pool: Pool) -> list[dict[str, object]]:
    """The limit and the hold, once the keeper has seen them."""
    found = sorted(status(pool)["limits"], key=lambda one: -one["limit"])
    seen = len(found) == 2 and found[0]["waiting"] == 20 and found[1]["hold"]
    return found if seen else []


@each_kind
def test_a_hold_ends_by_itself(project: Project) -> None:
    ids = produce(project, "Pay", 6, "1s")
    project.ready(2)
    first = project.ledger.until("call")[0]
    until(lambda: project.total("parked") > 0)  # before, the other worker may run a job
    opens = time.monotonic()
    open_service(project)
    until(lambda: project.total("done") == 6)
    assert sorted(project.ledger.ids("run")) == sorted(ids)
    called = {line.id: line.at for line in project.ledger.lines("call")}  # before, too, it may call
    runs = [line.at for line in project.ledger.lines("run") if called[line.id] > opens]
    held = project.ledger.times("ended:held").total()
    early = [at for at in runs if at < first.at + 1.0]
    assert held >= 1
    assert early == [], f"{held} jobs have held the key, and {len(early)} did not wait for that"


@pytest.mark.parametrize(
    ("engine_url", "job"), [("redis", "Unlimited"), ("sqlite", "Grouped")], indirect=["engine_url"]
)
def test_a_job_without_a_limit_waits_for_its_own_hold(project: Project, job: str) -> None:
    held = produce(project, job, 2, "1h")
    pool = project.ready(1)
    until(lambda: project.total("parked") == 2)
    paying = produce(project, "Pay", 1, "1h")
    until(lambda: project.total("parked") == 3)
    assert calls(project) == held
    where = ("--engine", project.url, "--namespace", project.namespace)
    said = poolq(pool, "job", "show", held[0], *where).out
    assert "limit stripe is held until" in said
    assert "and 3 jobs wait for it" in said
    open_service(project)
    assert limit(project, pool, "reset", "stripe").code == 0
    until(lambda: sorted(project.ledger.ids("run")) == sorted([*held, *paying]))


@sqlite
def test_a_worker_that_is_killed_before_it_has_told_holds_nothing(project: Project) -> None:
    """Its job has crashed, and runs again."""
    (project.folder / "jobs.py").write_text(f"{JOBS}\n{KILLED}")
    (first,) = project.produce("import jobs\nprint(jobs.Killed.dispatch())").split()
    project.ready(1)
    project.ledger.until("run", first)
    assert project.ledger.times("call") == {first: 2}
    assert project.engine.limits() == []


KILLED = """
import signal

class Killed(Job):
    def run(self):
        note("call", self.id)
        if self.attempt == 1 and not Path(os.environ["LEDGER"], "killed").exists():
            Path(os.environ["LEDGER"], "killed").touch()
            try:
                raise poolq.Hold("stripe", "1h")
            finally:
                os.kill(os.getpid(), signal.SIGKILL)
        note("run", self.id)
"""


@sqlite
def test_a_person_holds_a_key(project: Project) -> None:
    pool = project.ready(2)
    done = limit(project, pool, "hold", "stripe", "1h")
    assert done.out == "limit key stripe is held for 1h00m\n"
    again = limit(project, pool, "hold", "stripe", "10s").out
    assert again.startswith("limit key stripe is held for 59m"), "it is not shortened"
    open_service(project)
    ids = produce(project, "Pay", 3, "1h")
    until(lambda: project.total("parked") == 3)
    assert calls(project) == []
    lines = limit(project, pool, "ls").out.splitlines()
    assert lines[0].split() == ["KEY", "LIMIT", "USED", "RESETS", "WAITING", "HELD", "STATE"]
    assert {line.split()[1] for line in lines[1:]} == {"hold", "1000"}
    assert all(line.split()[-1] == "held" for line in lines[1:])
    limit(project, pool, "reset", "stripe")
    until(lambda: sorted(project.ledger.ids("run")) == sorted(ids))
    assert limit(project, pool, "reset", "stripe").code == 1, "it is not held"


@sqlite
def test_an_application_holds_a_key(project: Project) -> None:
    code = (
        "import poolq\n"
        "print(poolq.limits.hold('stripe', '1h'))\n"
        "print(poolq.limits.hold('stripe', 5) > poolq.limits.hold('mail', 5))\n"
        "print(poolq.limits.reset('stripe'), poolq.limits.reset('stripe'))\n"
    )
    assert project.produce(code).split() == ["1:00:00", "True", "True", "False"]
    assert [use.rule.key for use in project.engine.limits()] == ["mail"]
