"""Concurrency per key in a running pool: exact, turn by turn, and nothing is left of the dead."""

from __future__ import annotations

import signal

from tests.process.engines import each_kind, redis_and_sqlite
from tests.process.test_reload import deploy
from tests.support.pool import FOR_MINUTES
from tests.support.project import Project
from tests.support.wait import until

JOBS = """
from poolq import Concurrent, Job, Limit
from tests.support.ledger import gate, note

class Sync(Job):
    def rate_limit(self):
        return [Concurrent(2, key=f"tenant:{self.payload['tenant']}"), Limit(100_000, seconds=1)]

    def run(self):
        note("start", self.id)
        note("end", self.id)

class Alone(Job):
    def rate_limit(self):
        return Concurrent(1)

    def run(self):
        note("start", self.id)
        gate(self.payload["gate"])
        note("end", self.id)

class Fails(Job):
    attempts = 2

    def rate_limit(self):
        return Concurrent(1, key="fails")

    def run(self):
        note("start", self.id)
        raise ValueError("no luck")

class Tenant(Job):
    concurrent = Concurrent(2, by="tenant")
    attempts = 2

    def run(self):
        note("start", self.id)
        note("end", self.id)
        if self.payload["fails"] and self.attempt == 1:
            raise ValueError("no luck")

class Asks(Job):
    def rate_limit(self):
        note("asked", self.id)
        gate(self.payload["answers"])
        return Concurrent(4, key="asks")

    def run(self):
        note("start", self.id)
        gate("end")
"""


def most_at_once(project: Project) -> int:
    """How many jobs ran at the same time, at most."""
    moments = [(line.at, 1) for line in project.ledger.lines("start")]
    moments += [(line.at, -1) for line in project.ledger.lines("end")]
    most = running = 0
    for _, change in sorted(moments):
        running += change
        most = max(most, running)
    return most


@each_kind
def test_no_more_run_than_the_key_allows_and_all_run(project: Project) -> None:
    ids = project.produce(
        "import jobs\nfor n in range(60): print(jobs.Sync.dispatch({'tenant': 'one'}))"
    ).split()
    assert project.pool(4, "--until-empty").wait_exit() == 0
    assert project.ledger.times("end") == dict.fromkeys(ids, 1)
    assert most_at_once(project) <= 2
    assert project.total("retried") == project.total("failed") == 0, "waiting uses no attempt"


@each_kind
def test_after_a_kill_of_the_one_that_runs_the_next_starts_at_once(project: Project) -> None:
    pool = project.ready(3, *FOR_MINUTES)
    first = project.dispatch("Alone", {"gate": "never"}, max_crashes=1)
    victim = pool.until_runs(first)
    project.ledger.until("start", first)
    second = project.dispatch("Alone", {"gate": "open"})
    third = project.dispatch("Alone", {"gate": "open"})
    until(lambda: project.total("parked") == 2, 10, "both wait")
    victim.kill()
    project.ledger.until("start", second, 1)
    project.ledger.open("open")
    until(project.settled, 20)
    assert list(project.failed()) == [first]
    assert project.ledger.ids("start") == [first, second, third]


@redis_and_sqlite
def test_a_job_that_retries_leaves_its_slot_to_the_next(project: Project) -> None:
    ids = [project.dispatch("Fails", attempts=2) for _ in range(3)]
    assert project.pool(2, "--until-empty").wait_exit() == 0
    assert project.ledger.times("start") == dict.fromkeys(ids, 2)
    assert sorted(project.failed()) == sorted(ids)


@each_kind
def test_jobs_that_the_dispatch_has_parked_run_and_retry(project: Project) -> None:
    payloads = "[{'tenant': 'one', 'fails': n % 3 == 0} for n in range(9)]"
    ids = project.produce(
        f"import jobs, poolq\nprint(*poolq.dispatch_many(jobs.Tenant, {payloads}))"
    ).split()
    assert project.pool(4, "--until-empty").wait_exit() == 0
    assert project.ledger.times("end") == {id_: 2 - (n % 3 > 0) for n, id_ in enumerate(ids)}
    assert most_at_once(project) <= 2
    assert project.total("retried") == 3
    assert project.total("failed") == 0


@redis_and_sqlite
def test_replaced_code_does_not_bring_its_old_number_back(project: Project) -> None:
    pool = project.ready(1)
    project.ledger.open("at once")
    old = project.dispatch("Asks", {"answers": "late"})
    project.ledger.until("asked", old)
    deploy(project, JOBS.replace("Concurrent(4", "Concurrent(2"))
    pool.signal(signal.SIGHUP)
    new = project.dispatch("Asks", {"answers": "at once"})
    project.ledger.until("start", new)
    project.ledger.open("late")
    until(lambda: project.total("parked") or old in project.ledger.ids("start"))
    assert [use.rule.limit for use in project.engine.limits()] == [2]
    project.ledger.open("end")
    until(project.settled)
    assert project.ledger.ids("start") == [new, old]
    assert project.total("retried") == 0, "it used no attempt"
