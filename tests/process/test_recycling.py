"""--max-jobs, --max-memory and --max-memory-hard: a worker at its limit is replaced, its successor
first."""

from __future__ import annotations

from collections import Counter

from poolq.jobs.message import entries
from tests.process.engines import sqlite
from tests.support.project import STANDARD, Project
from tests.support.wait import until

JOBS = f'''{STANDARD.read_text()}
kept = []


class Leaks(Job):
    """Keeps memory; waits at its gate where it has one."""

    def run(self):
        note("start", self.id)
        kept.append(b"x" * (self.payload["mib"] << 20))
        if "gate" in self.payload:
            gate(self.payload["gate"])
        note("end", self.id)

    def on_failure(self):
        note(f"failure:{{type(self.error).__name__}}", self.id)
'''


@sqlite
def test_a_worker_is_replaced_after_max_jobs_and_no_job_is_lost(project: Project) -> None:
    ids = project.dispatch_many("Quick", 60)
    pool = project.pool(1, "--max-jobs=5", "--prefetch=1")
    later: list[str] = []

    def flow() -> bool:
        later.extend(project.dispatch_many("Quick", 2))
        return len({line.pid for line in project.ledger.lines("start")}) >= 4

    until(flow, 20, "four workers")
    until(project.settled)
    assert project.ledger.times("end") == dict.fromkeys([*ids, *later], 1)
    each = Counter(line.pid for line in project.ledger.lines("start"))
    assert all(jobs >= 5 for jobs in list(each.values())[:3]), each
    assert project.total("crashed") == 0
    pool.until_said("will be replaced: ")
    until(lambda: pool.zombies() == [], 10, "all dead reaped")


@sqlite
def test_a_worker_that_has_grown_is_replaced_between_two_jobs(project: Project) -> None:
    pool = project.ready(1, "--max-memory=120M")
    small = project.dispatch("Leaks", {"mib": 20})
    project.ledger.until("end", small)
    (worker,) = pool.until_idle(1)
    large = project.dispatch("Leaks", {"mib": 150, "gate": "open"})
    pool.until_said("will be replaced: ")
    until(lambda: len(pool.ready()) == 2, 5, "the replacement, before the old one leaves")
    project.ledger.open()
    project.ledger.until("end", large)
    until(lambda: worker.pid not in {one.pid for one in pool.workers()})
    assert project.ledger.times("start") == {small: 1, large: 1}
    assert (project.total("done"), project.total("crashed")) == (2, 0)


@sqlite
def test_a_worker_that_is_large_from_the_start_is_not_replaced_repeatedly(project: Project) -> None:
    jobs = project.folder / "jobs.py"
    jobs.write_text(jobs.read_text() + '\nkept.append(b"x" * (100 << 20))\n')
    pool = project.ready(1, "--max-memory=100M")
    (worker,) = pool.until_idle(1)
    for _ in range(3):  # each takes the keeper's sample a second apart
        id = project.dispatch("Leaks", {"mib": 1}, delay=0.7)
        project.ledger.until("end", id)
    assert pool.until_idle(1)[0].pid == worker.pid
    assert "will be replaced" not in pool.log


@sqlite
def test_over_the_hard_limit_a_worker_is_killed_during_its_job(project: Project) -> None:
    pool = project.ready(1, "--max-memory-hard=150M")
    id = project.dispatch("Leaks", {"mib": 200, "gate": "never"}, max_crashes=2)
    project.ledger.until("failure:JobCrashed", id)
    until(project.settled)
    assert project.ledger.times("start") == {id: 2}
    for line in entries(project.failed()[id].state.history):
        assert line.cause == "crash"
        assert line.error.endswith("over --max-memory-hard")
        assert line.signal == 9
    assert project.total("crashed") == 2
    pool.until_said("MiB, over --max-memory-hard; killed")
    pool.until_said('jobs.py", line')  # its stack
