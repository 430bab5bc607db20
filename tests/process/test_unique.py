"""Unique jobs in a running pool: one of a key, whatever happens to its worker."""

from __future__ import annotations

import pytest

from tests.process.conftest import MakeProject
from tests.process.engines import each_kind
from tests.support.project import Project
from tests.support.wait import until

JOBS = """
from poolq import Concurrent, Job, Unique
from tests.support.ledger import gate, note

class Sync(Job):
    unique = Unique("user")
    max_crashes = 3

    def run(self):
        note("start", self.id)
        gate(self.payload["gate"])
        note("end", self.id)

class Index(Sync):
    unique = Unique("user", until="start", conflict="replace")

class Both(Job):
    unique = Unique("user", until="1h")
    concurrent = Concurrent(2, by="user")

    def run(self):
        pass
"""
DISPATCH = """
import jobs
for gate in {gates}:
    id = jobs.{job}.dispatch({{"user": 7, "gate": gate}})
    print(id, id.new)
"""


@pytest.fixture
def unique(make_project: MakeProject, engine_url: str) -> Project:
    return make_project(engine_url, JOBS)


def dispatch(project: Project, job: str, *gates: str) -> list[tuple[str, bool]]:
    """Dispatch jobs in a process of its own. Returns their ids, and whether they were stored."""
    lines = project.produce(DISPATCH.format(job=job, gates=gates)).splitlines()
    return [(line.split()[0], line.endswith("True")) for line in lines]


@each_kind
def test_a_job_keeps_its_key_while_its_worker_is_killed(unique: Project) -> None:
    pool = unique.ready(2)
    (first, stored), (again, doubled) = dispatch(unique, "Sync", "open", "open")
    assert (stored, doubled, again) == (True, False, first)
    for crash in (1, 2, 3):
        unique.ledger.until("start", first, crash)  # a worker's title shows its job a moment before
        pool.until_runs(first).kill()
        if crash < 3:
            assert dispatch(unique, "Sync", "open") == [(first, False)]
    until(unique.settled, 20)
    assert list(unique.failed()) == [first], "the third crash was its last"
    ((second, is_new),) = dispatch(unique, "Sync", "open")
    assert is_new
    unique.ledger.until("start", second)
    assert unique.engine.retry([first]) == []
    unique.ledger.open("open")
    until(unique.settled, 20)
    assert unique.ledger.times("end") == {second: 1}
    assert unique.engine.retry([first]) == [first]
    until(unique.settled, 20)
    assert unique.ledger.times("end") == {second: 1, first: 1}
    assert dispatch(unique, "Sync", "open")[0][1]


@each_kind
def test_the_latest_of_many_changes_runs(unique: Project) -> None:
    made = dispatch(unique, "Index", "one", "two", "three")
    assert [is_new for _, is_new in made] == [True] * 3
    pool = unique.ready(2)
    pool.until_runs(made[-1][0])
    (beside,) = dispatch(unique, "Index", "three")
    assert beside[1], "what runs has no key"
    unique.ledger.open("three")
    until(unique.settled, 20)
    assert unique.ledger.times("end") == {made[-1][0]: 1, beside[0]: 1}
    assert unique.total("replaced") == 2


@each_kind
def test_what_a_dispatch_by_name_leaves_out_is_logged_once_in_a_pool(unique: Project) -> None:
    """Each of four workers meets such jobs. Those that their class has dispatched lack nothing."""
    pool = unique.ready(4)
    ids = unique.produce("""
import jobs
for user in range(4):
    print(jobs.Both.dispatch({"user": user}))
    print(jobs.Index.dispatch({"user": user, "gate": "none"}))
    print(jobs.Sync.dispatch({"user": user, "gate": "none"}))
""").split()
    unique.ledger.open("none")
    until(lambda: unique.total("done") == len(ids))
    assert "lacks the options" not in pool.log
    unique.dispatch_many("Both", [{"user": 1}] * 40)
    until(unique.settled)
    pool.until_said("done jobs:Both ", times=44)  # the log is written by a process of its own
    (line,) = (one for one in pool.log.splitlines() if "lacks the options" in one)
    assert "(unique=Unique(" in line
    assert ", concurrent=Concurrent(2, by=" in line
