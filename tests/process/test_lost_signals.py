"""A worker obeys the master whatever its job does with signals."""

from __future__ import annotations

import signal

import pytest

from tests.process.engines import sqlite
from tests.support.pool import Pool
from tests.support.project import Project
from tests.support.talking import status
from tests.support.wait import until

JOBS = """
import asyncio, signal, sys
from poolq import Job
from tests.support.ledger import gate, note

VERSION = "v1"

def raises(*_):
    sys.exit("as many do")

class Quick(Job):
    def run(self):
        note("start", self.id)
        note(VERSION, self.id)

class Deaf(Job):
    def run(self):
        getattr(self, self.payload["how"])()
        note("end", self.id)

    def wait(self):
        note("start", self.id)
        note(VERSION, self.id)
        gate(self.payload.get("gate", "open"))

    def catches(self):
        before = signal.signal(signal.SIGTERM, lambda *_: note("heard", self.id))
        self.wait()
        signal.signal(signal.SIGTERM, before)

    def leaves_a_handler(self):
        signal.signal(signal.SIGTERM, lambda *_: note("heard", self.id))
        self.wait()
        signal.signal(signal.SIGTERM, raises)

    def leaves_the_default(self):
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        self.wait()

    def ignores(self):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        self.wait()

    def blocks(self):
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
        self.wait()

    def on_a_loop(self):
        async def main():
            loop = asyncio.get_running_loop()
            loop.add_signal_handler(signal.SIGTERM, lambda: note("heard", self.id))
            note("start", self.id)
            note(VERSION, self.id)
            await loop.run_in_executor(None, gate, self.payload.get("gate", "open"))
        asyncio.run(main())
"""
HOWS = (
    "catches", "leaves_a_handler", "leaves_the_default", "ignores", "blocks", "on_a_loop",
)  # fmt: skip


def deploy(project: Project, pool: Pool, number: int, text: str = JOBS) -> None:
    """Version `number`, with as many workers as there are, which wait for jobs."""
    workers = status(pool)["procs"]
    new = project.folder / "jobs.py.new"
    new.write_text(text.replace('"v1"', f'"v{number}"'))
    new.replace(project.folder / "jobs.py")
    pool.signal(signal.SIGHUP)
    until(lambda: leaving(pool, number) and serving(pool, number) == workers, 30, f"v{number}")


def leaving(pool: Pool, number: int) -> bool:
    """True if all workers of older generations shall leave."""
    old = [one for one in status(pool)["workers"] if one["generation"] < number]
    return all(one["state"] == "leaving" for one in old)


def serving(pool: Pool, number: int) -> int:
    found = [one for one in status(pool)["workers"] if one["generation"] == number]
    return sum(one["state"] != "leaving" for one in found)


@sqlite
def test_a_reload_replaces_all_workers_whatever_their_jobs_do_with_term(project: Project) -> None:
    """One reload for each thing that they do."""
    pool = project.ready(2)
    for number, how in enumerate(HOWS, 2):
        old = {one.pid for one in pool.workers()}
        running = project.dispatch_many("Deaf", [{"how": how, "gate": how}] * 2)
        for id in running:
            project.ledger.until("start", id)
        deploy(project, pool, number)
        behind = project.dispatch_many("Quick", 20)
        project.ledger.open(how)
        until(project.settled)
        until(lambda old=old: not old & {one.pid for one in pool.workers()}, 30, f"{how}: the end")
        assert set(project.ledger.ids(f"v{number}")) == set(behind), how
        assert {project.ledger.times("end")[id] for id in running} == {1}, how
    assert project.total("crashed") == 0
    assert "killed" not in pool.log
    pool.signal(signal.SIGTERM)
    assert pool.wait_exit() == 0


@sqlite
@pytest.mark.parametrize("how", ["catches", "leaves_the_default", "blocks"])
def test_a_drain_starts_no_job_after_term(project: Project, how: str) -> None:
    pool = project.ready(1)
    (running,) = project.dispatch_many("Deaf", [{"how": how}])
    project.ledger.until("start", running)
    behind = project.dispatch_many("Quick", 20)
    pool.signal(signal.SIGTERM)
    until(lambda: status(pool)["workers"][0]["state"] == "leaving")
    project.ledger.open()
    assert pool.wait_exit() == 0
    assert project.ledger.ids("start") == [running]
    assert project.ledger.ids("end") == [running]
    assert sum(one.ready for one in project.engine.counts()) == len(behind)
    assert project.total("crashed") == 0


@sqlite
def test_short_jobs_that_swallow_every_term_delay_no_drain(project: Project) -> None:
    """They come in batches, of which the rest goes back."""
    jobs = project.folder / "jobs.py"
    jobs.write_text(jobs.read_text() + SWALLOWS)
    ids = project.dispatch_many("Swallows", 20_000)
    pool = project.ready(2)
    until(lambda: project.total("done") > 500)
    pool.signal(signal.SIGTERM)
    assert pool.wait_exit() == 0
    started = project.ledger.ids("start")
    assert len(started) == len(set(started)) == project.total("done") < len(ids)
    assert sum(one.ready for one in project.engine.counts()) == len(ids) - len(started)


SWALLOWS = """
class Swallows(Job):
    def run(self):
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        note("start", self.id)
"""


@sqlite
def test_a_pool_receives_signals_that_its_parent_has_blocked(project: Project) -> None:
    blocking = ("env", "--block-signal=TERM", "--block-signal=HUP")
    pool = project.pool(2, through=blocking)
    pool.until_ready(2)
    deploy(project, pool, 2)
    id = project.dispatch("Quick")
    project.ledger.until("v2", id)
    pool.signal(signal.SIGTERM)
    assert pool.wait_exit(5) == 0


@sqlite
@pytest.mark.parametrize("flags", [(), ("--no-preload",)], ids=["preloaded", "imported"])
def test_an_application_that_ignores_term_is_replaced_and_ended(
    project: Project, flags: tuple[str, ...]
) -> None:
    """Its template, and workers that import it for themselves."""
    deaf = (
        f"{JOBS}\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])\n"
    )
    (project.folder / "jobs.py").write_text(deaf)
    pool = project.ready(1, *flags)
    old = {one.pid for one in pool.processes() if " g1" in one.title}
    deploy(project, pool, 2, deaf)
    until(lambda: not old & {one.pid for one in pool.processes()}, 30, "the end of generation 1")
    pool.signal(signal.SIGTERM)
    assert pool.wait_exit() == 0, "after its stop timeout it would be another code"
