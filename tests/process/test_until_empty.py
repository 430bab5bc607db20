"""`--until-empty`: exit with 0 when no job is ready, running, delayed or parked."""

from __future__ import annotations

from datetime import datetime

from tests.process.conftest import jobs
from tests.process.engines import redis_and_sqlite, sqlite
from tests.support.project import Project
from tests.support.wait import until

PARKS = """
from poolq import Job, Limit
from tests.support.ledger import note

class Parks(Job):
    on_limit = "park"

    def rate_limit(self):
        return Limit(1, seconds=0.4)

    def run(self):
        note("end", self.id)
"""


@sqlite
def test_nothing_is_waited_for_once_the_queues_are_empty(project: Project) -> None:
    """Not even the master's next turn, in a second; a loaded machine may need more than one try."""
    project.engine.pause("default")  # which is as good as none, where it is empty

    def took() -> float:
        pool = project.pool(1, "--until-empty")
        assert pool.wait_exit() == 0
        begun, ended = (
            datetime.fromisoformat(line[:23])
            for line in pool.log.splitlines()
            if line.endswith(("the queues are empty: leaving", "has ended"))
        )
        return (ended - begun).total_seconds()

    until(lambda: took() < 0.8)


@redis_and_sqlite
@jobs(PARKS)
def test_parked_jobs_are_waited_for(project: Project) -> None:
    ids = project.dispatch_many("Parks", 3, on_limit="park")
    assert project.pool(2, "--until-empty").wait_exit() == 0
    assert project.ledger.times("end") == dict.fromkeys(ids, 1)


@redis_and_sqlite
def test_running_jobs_of_any_pool_and_delayed_ones_are_waited_for(project: Project) -> None:
    other = project.ready(1)
    running = project.dispatch("Held")
    other.until_runs(running)
    pool = project.ready(1, "--until-empty")
    pool.until_idle(1)
    project.ledger.until("end", project.dispatch("Quick", delay=0.3))
    assert pool.code is None
    last = project.dispatch("Quick", delay=1)
    project.ledger.open()
    assert pool.wait_exit() == 0
    assert last in project.ledger.ids("end")


@sqlite
def test_a_paused_queue_is_reported_and_waited_for(project: Project) -> None:
    project.engine.pause("slow")
    ids = project.dispatch_many("Quick", 2, queue="slow")
    pool = project.pool(1, "--until-empty")
    pool.until_said("warning: queue slow is paused and not empty")
    other = project.dispatch("Quick")
    project.ledger.until("end", other)
    assert pool.code is None
    assert pool.log.count("is paused and not empty") == 1
    project.engine.resume("slow")
    assert pool.wait_exit() == 0
    assert project.ledger.times("end") == dict.fromkeys([*ids, other], 1)
