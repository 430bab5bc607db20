"""Concurrency per key in a running pool: exact, turn by turn, and nothing is left of the dead."""

from __future__ import annotations

import signal

import pytest

from tests.process.conftest import MakeProject
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


@pytest.fixture
def gated(make_project: MakeProject, engine_url: str) -> Project:
    return make_project(engine_url, JOBS)


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
def test_no_more_run_than_the_key_allows_and_all_run(gated: Project) -> None:
    ids = gated.produce(
        "import jobs\nfor n in range(60): print(jobs.Sync.dispatch({'tenant': 'one'}))"
    ).split()
    assert gated.pool(4, "--until-empty").wait_exit() == 0
    assert gated.ledger.times("end") == dict.fromkeys(ids, 1)
    assert most_at_once(gated) <= 2
    assert gated.total("retried") == gated.total("failed") == 0, "waiting uses no attempt"


@each_kind
def test_after_a_kill_of_the_one_that_runs_the_next_starts_at_once(gated: Project) -> None:
    pool = gated.ready(3, *FOR_MINUTES)
    first = gated.dispatch("Alone", {"gate": "never"}, max_crashes=1)
    victim = pool.until_runs(first)
    gated.ledger.until("start", first)
    second = gated.dispatch("Alone", {"gate": "open"})
    third = gated.dispatch("Alone", {"gate": "open"})
    until(lambda: gated.total("parked") == 2, 10, "both wait")
    victim.kill()
    gated.ledger.until("start", second, 1)
    gated.ledger.open("open")
    until(gated.settled, 20)
    assert list(gated.failed()) == [first]
    assert gated.ledger.ids("start") == [first, second, third]


@redis_and_sqlite
def test_a_job_that_retries_leaves_its_slot_to_the_next(gated: Project) -> None:
    ids = [gated.dispatch("Fails", attempts=2) for _ in range(3)]
    assert gated.pool(2, "--until-empty").wait_exit() == 0
    assert gated.ledger.times("start") == dict.fromkeys(ids, 2)
    assert sorted(gated.failed()) == sorted(ids)


@each_kind
def test_jobs_that_the_dispatch_has_parked_run_and_retry(gated: Project) -> None:
    payloads = "[{'tenant': 'one', 'fails': n % 3 == 0} for n in range(9)]"
    ids = gated.produce(
        f"import jobs, poolq\nprint(*poolq.dispatch_many(jobs.Tenant, {payloads}))"
    ).split()
    assert gated.pool(4, "--until-empty").wait_exit() == 0
    assert gated.ledger.times("end") == {id_: 2 - (n % 3 > 0) for n, id_ in enumerate(ids)}
    assert most_at_once(gated) <= 2
    assert gated.total("retried") == 3
    assert gated.total("failed") == 0


@redis_and_sqlite
def test_code_that_a_reload_has_replaced_does_not_bring_the_old_number_back(gated: Project) -> None:
    pool = gated.ready(1)
    gated.ledger.open("at once")
    old = gated.dispatch("Asks", {"answers": "late"})
    gated.ledger.until("asked", old)
    deploy(gated, JOBS.replace("Concurrent(4", "Concurrent(2"))
    pool.signal(signal.SIGHUP)
    new = gated.dispatch("Asks", {"answers": "at once"})
    gated.ledger.until("start", new)
    gated.ledger.open("late")
    until(lambda: gated.total("parked") or old in gated.ledger.ids("start"))
    assert [use.rule.limit for use in gated.engine.limits()] == [2]
    gated.ledger.open("end")
    until(gated.settled)
    assert gated.ledger.ids("start") == [new, old]
    assert gated.total("retried") == 0, "it used no attempt"
