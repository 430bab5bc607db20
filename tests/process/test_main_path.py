"""From a user's jobs.py to done and failed, by way of a real producer and a real pool."""

from __future__ import annotations

import time

from poolq.jobs.message import entries
from tests.process.engines import redis_and_sqlite
from tests.support.pool import FOR_MINUTES
from tests.support.project import STANDARD, Project

JOBS = (
    STANDARD.read_text()
    + """
import poolq

class Mail(Job):
    queue = "emails"

    def run(self):
        note(f"sent:{self.payload['to']}:{self.attempt}", self.id)

    def on_success(self):
        note("success", self.id)

class Flaky(Job):
    attempts = 3
    retry_after = ["100ms", "200ms"]

    async def run(self):
        note(f"try:{self.attempt}", self.id)
        if self.attempt < self.payload["good"]:
            raise ConnectionError(f"try {self.attempt}")

    def on_failure(self):
        note(f"failure:{self.error}:{self.attempt}".replace(" ", "_"), self.id)

@poolq.job(queue="emails", attempts=2)
def greet(to: str) -> None:
    note(f"greeted:{to}", poolq.current().id)
"""
)
PRODUCER = """
import jobs, poolq
print(jobs.Mail.dispatch({"to": "bob"}))
print(jobs.Mail().dispatch({"to": "ann"}, delay="300ms"))
print(jobs.Flaky.dispatch({"good": 2}))
print(jobs.Flaky.dispatch({"good": 9}))
print(jobs.greet.dispatch(to="eve"))
print(poolq.dispatch("jobs:Mail", {"to": "joe"}, queue="other"))
"""


def test_jobs_are_dispatched_and_done(project: Project) -> None:
    bob, ann, second, never, eve, joe = project.produce(PRODUCER).split()
    pool = project.pool(2, "--until-empty", through=("env",))  # a new interpreter
    assert pool.wait_exit(20) == 0
    ledger = project.ledger
    for what, id in (("sent:bob:1", bob), ("sent:ann:1", ann), ("sent:joe:1", joe)):
        assert ledger.ids(what) == [id]
    assert ledger.ids("greeted:eve") == [eve]
    assert ledger.times("success") == {bob: 1, ann: 1, joe: 1}
    assert ledger.ids("try:1") == [second, never] or ledger.ids("try:1") == [never, second]
    assert ledger.ids("try:3") == [never]
    assert ledger.ids("failure:try_3:3") == [never]
    assert_backed_off(project, never)
    assert list(project.failed()) == [never]
    assert project.total("done") == 5
    assert project.total("failed") == 1
    assert project.total("retried") == 3
    for line in (
        f"done jobs:Mail {bob} queue=emails attempt=1",
        f"retried jobs:Flaky {second} queue=default attempt=1/3",
        f"done jobs:Flaky {second} queue=default attempt=2",
        f"failed jobs:Flaky {never} queue=default attempt=3",
    ):
        assert pool.log.count(line) == 1, line
    assert "(error): ConnectionError: try 3" in pool.log


def assert_backed_off(project: Project, id: str) -> None:
    first, second, third = (project.ledger.lines(f"try:{n}", id)[0].at for n in (1, 2, 3))
    assert second - first >= 0.1
    assert third - second >= 0.2
    history = entries(project.failed()[id].state.history)
    assert [(line.cause, line.attempt) for line in history] == [("error", n) for n in (1, 2, 3)]
    assert "jobs.py" in history[-1].traceback


@redis_and_sqlite
def test_an_idle_pool_starts_jobs_at_once_or_when_they_are_due(project: Project) -> None:
    project.ready(2, *FOR_MINUTES).until_idle(2)
    for _ in range(3):
        project.ledger.until("end", project.dispatch("Quick"))
    begun = time.monotonic()
    id = project.dispatch("Quick", delay=0.3)
    (line,) = project.ledger.until("end", id)
    assert line.at - begun >= 0.3


@redis_and_sqlite
def test_queues_are_served_in_strict_order(project: Project) -> None:
    low = project.dispatch_many("Quick", 3, queue="low")
    other = project.dispatch("Quick", queue="other")
    high = project.dispatch_many("Quick", 3, queue="high")
    pool = project.pool(1, "--queue=high,low", "--until-empty")
    assert pool.wait_exit() == 0
    assert project.ledger.ids("start") == high + low
    assert project.engine.cancel([other]), "a queue that is not served is left alone"
