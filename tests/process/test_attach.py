"""What another process sees of a real pool, through its shared memory alone."""

from __future__ import annotations

import os
from signal import SIGKILL

import pytest

from poolq.config.engine_urls import redact
from poolq.dashboard.sources import AttachedSource
from poolq.engines.progress import JobProgress
from tests.process.conftest import jobs
from tests.process.engines import redis_and_sqlite, sqlite
from tests.support.cli import Command
from tests.support.project import Project
from tests.support.talking import attached, look
from tests.support.wait import until


def settled(source: AttachedSource, jobs: int) -> bool:
    rates = look(source).throughput
    return rates.done.total + rates.failed.total == jobs


@redis_and_sqlite
def test_a_pool_is_visible_from_outside(project: Project) -> None:
    """What it does, to who cannot write to it, until it has ended."""
    pool = project.ready(2)
    with attached(pool) as source:
        held = project.dispatch("Held", queue="slow")
        pool.until_runs(held)
        done = project.dispatch_many("Quick", 3)
        failed = project.dispatch("Fails", {"text": "no such user"})
        until(lambda: settled(source, 4))
        until(lambda: look(source).head.busy == 1)  # the other has not yet laid its work down
        found = look(source)
        assert (found.head.pool, found.head.state, found.head.pid) == (
            "default",
            "running",
            pool.pid,
        )
        assert (found.head.procs, found.head.busy, found.head.reachable) == (2, 1, True)
        assert found.head.broker == redact(project.url)
        (busy,) = (one for one in found.workers if one.id)
        assert (busy.id, busy.job, busy.queue, busy.state) == (held, "jobs:Held", "slow", "busy")
        assert busy.running is not None
        assert busy.running < 600
        assert sum(one.done for one in found.workers) == len(done)
        (failure,) = found.failures
        assert (failure.id, failure.job) == (failed, "jobs:Fails")
        assert failure.error == "ValueError: no such user"
        assert failure.traceback.rstrip().endswith("ValueError: no such user")
        assert "pool default starts: 2 workers, all queues" in [one.text for one in found.events]

        def queues() -> list[tuple[str, int, int]]:
            return [(one.queue, one.running, one.failed) for one in look(source).queues]

        until(lambda: queues() == [("default", 0, 1), ("slow", 1, 0)])
        (node,) = look(source).nodes
        assert (node.here, node.pool, node.workers) == (True, "default", 2)
        project.ledger.open()
        with pytest.raises(TypeError, match="read-only"):
            source._scores.set_word(0, 1)
        with pytest.raises(OSError, match="Invalid argument"):
            os.ftruncate(source._scores.fd, 0)
        deadly = project.dispatch("Dies", {"code": 7}, max_crashes=1)

        def told(text: str) -> bool:
            return any(text in one.text for one in look(source).events)

        until(lambda: told(deadly) and told("exited with code 7"))
        until(lambda: deadly in [one.id for one in look(source).failures])
        pool.signal(SIGKILL)
        until(lambda: source.snapshot() is None)
    pool.until_gone()


@sqlite
@jobs("""
from poolq import Job, Limit

class Mail(Job):
    queue = "emails"
    on_limit = "park"
    def rate_limit(self):
        return Limit(1, hours=1, key="mail")
    def run(self):
        pass
""")
def test_the_snapshot_shows_why_jobs_wait_and_until_when(project: Project) -> None:
    pool = project.ready(1)
    with attached(pool) as source:
        project.dispatch_many("Mail", 3, queue="emails", on_limit="park")
        (limit,) = until(lambda: [one for one in look(source).limits if one.waiting == 2])
        assert (limit.key, limit.used, limit.limit, limit.window) == ("mail", 1, 1, 3600)
        assert limit.next_slot == limit.resets_in
        assert limit.next_slot is not None
        assert 3500 < limit.next_slot <= 3600
        (queue,) = until(lambda: [one for one in look(source).queues if one.parked == 2])
        assert (queue.queue, queue.ready) == ("emails", 0)
        assert look(source).throughput.limited.total == 2
        project.engine.pause("emails")
        until(lambda: look(source).queues[0].paused)


@sqlite
@jobs("""
import os
from ctypes import PyDLL, create_string_buffer
from poolq import Job
from tests.support.ledger import note

class Stuck(Job):
    def run(self):
        note("start", self.id)
        PyDLL(None).read(os.pipe()[0], create_string_buffer(1), 1)
""")
def test_the_stack_of_a_worker_can_be_read(project: Project) -> None:
    """Also in C that does not let Python's own handlers run, and any number of times."""
    pool = project.ready(1)
    with attached(pool) as source:
        (idle,) = look(source).workers
        until(lambda: "loop.py" in source.stack(idle.pid), what="a worker in its loop")
        project.ledger.until("start", project.dispatch("Stuck"))
        for _ in range(3):
            found = source.stack(idle.pid)
            assert found.count("(most recent call first)") == 1
            assert "in run" in found
            assert "jobs.py" in found
        assert source.stack(pool.pid) == ""
    pool.kill_tree()


@sqlite
@jobs("""
import poolq
from tests.support.ledger import gate

class Far(poolq.Job):
    def run(self):
        self.progress(3, 10.0, "Zürich")
        gate("first")
        poolq.current().progress(4)
        gate("second")

class Silent(poolq.Job):
    def run(self):
        gate("third")
""")
def test_the_progress_of_a_job_is_visible_while_it_runs(project: Project) -> None:
    pool = project.ready(1)
    command = Command(project.folder, RUNTIME_DIRECTORY=str(pool.runtime))
    with attached(pool) as source:
        first, second = project.dispatch("Far"), project.dispatch("Silent")

        def progress(id: str) -> JobProgress | None:
            (worker,) = look(source).workers
            return worker.progress if worker.id == id else None

        until(lambda: progress(first) == JobProgress(done=3, total=10, note="Zürich"))
        where = ("--engine", project.url, "--namespace", project.namespace)
        assert "progress: 3 of 10, Zürich\n" in command("job", "show", first, *where).out
        shown = command("job", "show", first, "--json", *where).json
        assert shown["progress"] == {"done": 3, "total": 10, "note": "Zürich"}
        project.ledger.open("first")
        until(lambda: progress(first) == JobProgress(done=4, total=0))
        project.ledger.open("second")
        pool.until_runs(second)
        until(lambda: look(source).workers[0].id == second)
        assert progress(second) is None
        assert "progress" not in command("job", "show", second, *where).out
        project.ledger.open("third")
