"""Unique jobs in a running pool: one of a key, whatever happens to its worker."""

from __future__ import annotations

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


def dispatch(project: Project, job: str, *gates: str) -> list[tuple[str, bool]]:
    """Dispatch jobs in a process of its own. Returns their ids, and whether they were stored."""
    lines = project.produce(DISPATCH.format(job=job, gates=gates)).splitlines()
    return [(line.split()[0], line.endswith("True")) for line in lines]


@each_kind
def test_a_job_keeps_its_key_while_its_worker_is_killed(project: Project) -> None:
    pool = project.ready(2)
    (first, stored), (again, doubled) = dispatch(project, "Sync", "open", "open")
    assert (stored, doubled, again) == (True, False, first)
    for crash in (1, 2, 3):
        project.ledger.until("start", first, crash)  # a title shows its job a moment before
        pool.until_runs(first).kill()
        if crash < 3:
            assert dispatch(project, "Sync", "open") == [(first, False)]
    until(project.settled, 20)
    assert list(project.failed()) == [first], "the third crash was its last"
    ((second, is_new),) = dispatch(project, "Sync", "open")
    assert is_new
    project.ledger.until("start", second)
    assert project.engine.retry([first]) == []
    project.ledger.open("open")
    until(project.settled, 20)
    assert project.ledger.times("end") == {second: 1}
    assert project.engine.retry([first]) == [first]
    until(project.settled, 20)
    assert project.ledger.times("end") == {second: 1, first: 1}
    assert dispatch(project, "Sync", "open")[0][1]


@each_kind
def test_the_latest_of_many_changes_runs(project: Project) -> None:
    made = dispatch(project, "Index", "one", "two", "three")
    assert [is_new for _, is_new in made] == [True] * 3
    pool = project.ready(2)
    pool.until_runs(made[-1][0])
    (beside,) = dispatch(project, "Index", "three")
    assert beside[1], "what runs has no key"
    project.ledger.open("three")
    until(project.settled, 20)
    assert project.ledger.times("end") == {made[-1][0]: 1, beside[0]: 1}
    assert project.total("replaced") == 2


@each_kind
def test_what_a_dispatch_by_name_leaves_out_is_logged_once_in_a_pool(project: Project) -> None:
    """Each of four workers meets such jobs. Those that their class has dispatched lack nothing."""
    pool = project.ready(4)
    ids = project.produce("""
import jobs
for user in range(4):
    print(jobs.Both.dispatch({"user": user}))
    print(jobs.Index.dispatch({"user": user, "gate": "none"}))
    print(jobs.Sync.dispatch({"user": user, "gate": "none"}))
""").split()
    project.ledger.open("none")
    until(lambda: project.total("done") == len(ids))
    assert "lacks the options" not in pool.log
    project.dispatch_many("Both", [{"user": 1}] * 40)
    until(project.settled)
    pool.until_said("done jobs:Both ", times=44)  # the log is written by a process of its own
    (line,) = (one for one in pool.log.splitlines() if "lacks the options" in one)
    assert "(unique=Unique(" in line
    assert ", concurrent=Concurrent(2, by=" in line
