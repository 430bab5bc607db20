"""Jobs claimed ahead of their turn do not wait behind one that turns out long."""

from __future__ import annotations

from collections import Counter

from tests.process.engines import each_kind, redis_and_sqlite, sqlite
from tests.support.pool import Pool
from tests.support.project import Project
from tests.support.wait import until

JOBS = """
import os
from threading import Event
from tests.support.ledger import gate, note
from poolq import Job

class Stops(Job):
    def run(self):
        note("start", self.id)
        if self.payload and self.once():
            os.kill(os.getpid(), 19)  # and then nothing that would let the watcher go first

    def once(self):
        # Of a node that was silent, its earliest claim is charged, which may be another.
        try:
            os.close(os.open("stopped", os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return False
        return True

class Takes(Job):
    def run(self):
        if "ms" in self.payload:
            Event().wait(self.payload["ms"] / 1000)
        note("end", self.id)

class Varies(Job):
    def run(self):
        note("start", self.id)
        if "gate" in self.payload:
            gate(self.payload["gate"])
        if "signal" in self.payload:
            os.kill(os.getpid(), self.payload["signal"])
        note("end", self.id)
"""


#: From one job at once an idle worker goes on to more: after so many it claims 16.
FEW = 5


def warmed(project: Project, pool: Pool) -> int:
    """Have the worker learn that these jobs are short, so that batches grow; how many it ran. On
    a loaded machine some take long, and the last few count most: then there are more."""

    def learnt() -> bool:
        project.dispatch_many("Varies", 60)
        until(project.settled)
        done = [line for line in pool.log.splitlines() if "done jobs:Varies" in line]
        return all(line.endswith("µs") for line in done[-30:])

    until(learnt, 30)
    return project.total("done")


def with_ten_behind_a_long_job(project: Project) -> tuple[Pool, str, list[str]]:
    pool = project.ready(1)
    warmed(project, pool)
    project.freeze(pool)
    project.dispatch_many("Varies", FEW)
    long = project.dispatch("Varies", {"gate": "open"})
    behind = project.dispatch_many("Varies", 10)
    pool.thaw()
    pool.until_said("prefetched jobs to their queues")
    return pool, long, behind


@sqlite
def test_a_batch_behind_a_long_job_is_run_by_another_worker(project: Project) -> None:
    pool = project.ready(1)
    warm = warmed(project, pool)
    other = project.ready(1, "--name=other")
    project.freeze(pool, other)
    short = project.dispatch_many("Varies", 5)
    long = project.dispatch("Varies", {"gate": "open"})
    behind = project.dispatch_many("Varies", 10)
    pool.thaw()
    (start,) = project.ledger.until("start", long)
    assert pool.until_runs(long, 2).pid == start.pid, "a title is true, also where jobs are short"
    other.thaw()
    for id in behind:
        (line,) = project.ledger.until("end", id)
        assert line.pid != start.pid
    pool.until_said("prefetched jobs to their queues")
    assert project.ledger.lines("end", long) == []
    assert project.engine.find(short[-1]) is None, "what is finished is settled meanwhile"
    project.ledger.open()
    until(project.settled)
    assert set(project.ledger.times("start").values()) == {1}
    assert project.total("done") == warm + 16


@sqlite
def test_no_worker_hoards_jobs_of_some_milliseconds(project: Project) -> None:
    """After many quick ones of the same class: others run most of what one could claim at once."""
    project.ready(4)
    project.dispatch_many("Takes", 800)
    until(project.settled)
    jobs = project.dispatch_many("Takes", [{"ms": 60}] * 60)
    until(project.settled)
    ran = Counter(line.pid for line in project.ledger.lines("end") if line.id in set(jobs))
    assert ran.total() == 60
    assert max(ran.values()) < 45, ran


@redis_and_sqlite
def test_what_went_back_keeps_its_place(project: Project) -> None:
    pool = project.ready(1)
    project.dispatch_many("Takes", 200)
    until(project.settled)
    project.freeze(pool)
    jobs = project.dispatch_many("Takes", [{"ms": 40}, {}, {}, {"ms": 40}] * 5)
    pool.thaw()
    until(project.settled)
    assert project.ledger.ids("end")[-20:] == jobs


@sqlite
def test_a_batch_behind_a_long_job_is_run_by_its_worker_later_when_alone(project: Project) -> None:
    _, long, behind = with_ten_behind_a_long_job(project)
    until(lambda: project.engine.find(behind[0]).status == "ready")
    project.ledger.open()
    until(project.settled)
    assert project.ledger.ids("end")[-11:] == [long, *behind], "in their order"


@sqlite
def test_the_death_in_a_long_job_charges_none_that_went_back(project: Project) -> None:
    pool, long, behind = with_ten_behind_a_long_job(project)
    (start,) = project.ledger.until("start", long)
    next(one for one in pool.workers() if one.pid == start.pid).kill()
    project.ledger.open()
    until(project.settled)
    assert project.total("crashed") == 1
    assert dict.fromkeys([long, *behind], 1).items() <= project.ledger.times("end").items()


@each_kind
def test_what_is_finished_but_not_settled_when_its_worker_dies_is_done(project: Project) -> None:
    """The scoreboard knows it: no acknowledgement is lost, nothing is run again. A worker that was
    slow, on a loaded machine, claims fewer at once: then it is tried again."""
    pool = project.ready(1)
    deadly: list[str] = []

    def died_in_a_whole_batch() -> bool:
        warm = warmed(project, pool)
        project.freeze(pool)
        few = project.dispatch_many("Varies", FEW)
        before = project.dispatch_many("Varies", 3)
        deadly.append(project.dispatch("Varies", {"signal": 9}, max_crashes=1))
        behind = project.dispatch_many("Varies", 12)
        pool.thaw()
        until(project.settled)
        assert project.ledger.times("start") == {
            **project.ledger.times("end"), **dict.fromkeys([*few, *before, *deadly, *behind], 1)
        }  # fmt: skip
        assert set(project.failed()) == set(deadly)
        assert project.total("done") == warm + len(few) + 15
        said = [line for line in pool.log.splitlines() if "12 returned" in line]
        return any(int(line.partition(" died: ")[2].split()[0]) >= 3 for line in said)

    until(died_in_a_whole_batch, 40)


@sqlite
def test_a_worker_that_is_told_to_leave_gives_its_batch_back(project: Project) -> None:
    pool = project.ready(1)
    warmed(project, pool)
    project.freeze(pool)
    last = project.dispatch("Varies", {"signal": 15})
    behind = project.dispatch_many("Varies", 5)
    pool.thaw()
    (end,) = project.ledger.until("end", last)
    until(project.settled)
    starts = [line for line in project.ledger.lines("start") if line.id in behind]
    assert [line.id for line in starts] == behind
    assert end.pid not in {line.pid for line in starts}
    assert project.total("crashed") == 0


@sqlite
def test_prefetch_1_claims_nothing_ahead(project: Project) -> None:
    pool = project.ready(1, "--prefetch=1")
    project.dispatch_many("Varies", 50)
    until(project.settled)
    project.freeze(pool)
    long = project.dispatch("Varies", {"gate": "open"})
    (behind,) = project.dispatch_many("Varies", 1)
    pool.thaw()
    pool.until_runs(long)
    assert project.engine.find(behind).status == "ready"
    project.ledger.open()
    until(project.settled)


@redis_and_sqlite
def test_a_worker_that_was_taken_for_dead_starts_nothing_of_its_batch(project: Project) -> None:
    """Stopped within a short job, with others claimed: they are somebody else's by then."""
    ttl = ("--node-ttl=1.5", "--sleep=1")
    pool = project.ready(1, *ttl, "--name=stopped")
    project.dispatch_many("Stops", 20)  # before a job of a new kind all would go back
    warmed(project, pool)
    project.freeze(pool)
    project.dispatch_many("Varies", FEW)
    stops = project.dispatch("Stops", {"stop": True}, max_crashes=1)
    behind = project.dispatch_many("Varies", 10)
    pool.thaw()
    project.ledger.until("start", stops)
    assert {project.engine.find(id).status for id in behind} == {"running"}
    until(lambda: any(one.state == "T" for one in pool.workers()), 10, "a stopped worker")
    project.freeze(pool)
    other = project.ready(1, *ttl, "--name=other")
    until(lambda: behind[-1] in project.ledger.ids("end"), 30, "the end of what was behind")
    (worker,) = other.workers()
    assert {line.pid for line in project.ledger.lines("start") if line.id in behind} == {worker.pid}
    pool.thaw()
    pool.until_said("exiting; a new worker will replace this one")
    assert {project.ledger.times("start")[id] for id in behind} == {1}
