"""Templates that are killed, lost or impossible: workers are replaced in every case.

They are new interpreters here, as anywhere but in tests of other things.
"""

from __future__ import annotations

import json
import re
import signal

import pytest

from tests.process.engines import sqlite
from tests.support.pool import Pool
from tests.support.processes import Process
from tests.support.project import Project
from tests.support.talking import poolq
from tests.support.wait import until

#: What could differ in a template that is forked and not executed.
FACTS = """
import json, logging, multiprocessing, os, re, signal, sys, threading
from poolq import Job

class Facts(Job):
    def run(self):
        main, process = sys.modules["__main__"], multiprocessing.current_process()
        facts = {
            "descriptors": sorted(map(target, os.listdir("/proc/self/fd"))),
            "handlers": [str(signal.getsignal(n)).partition(" at ")[0]
                         for n in sorted(signal.valid_signals())],
            "loggers": [type(one).__name__ for one in logging.getLogger().handlers],
            "main": [getattr(main, "__file__", None), main.__spec__],
            "arguments": len(sys.argv),
            "path": sys.path[:2],
            "process": [process.name, process.daemon, multiprocessing.parent_process()],
            "threads": len(threading.enumerate()),
            "environment": sorted(os.environ),
        }
        with open(self.payload["file"], "w") as file:
            json.dump(facts, file)

def target(fd):
    path = f"/proc/self/fd/{fd}"
    return re.split("[-:]", os.readlink(path))[0] if os.path.exists(path) else ""
"""
BROKEN = "import nothing_of_this_name\n"


@pytest.fixture
def project(project: Project) -> Project:
    project.new_interpreters = True
    return project


def templates(pool: Pool, suffix: str = "") -> list[Process]:
    """The templates (`suffix` " spare": their copies) that have loaded."""
    pattern = re.compile(rf"poolq: template g\d+{suffix}")
    return [one for one in pool.processes() if pattern.fullmatch(one.title)]


def template(pool: Pool) -> Process:
    return until(lambda: templates(pool), 5, "a template")[0]


def spare(pool: Pool) -> Process:
    return until(lambda: templates(pool, " spare"), 5, "a copy")[0]


def replace_worker(pool: Pool, workers: int = 1) -> None:
    """Kill an idle worker and wait for its successor."""
    victim = pool.until_idle(workers)[0]
    victim.kill()
    until(lambda: victim.pid not in {one.pid for one in pool.idle()})
    pool.until_idle(workers)


@sqlite
def test_the_copy_of_a_killed_template_takes_over_with_the_loaded_code(project: Project) -> None:
    """Workers, the template and its copy are children of the master. A killed copy is replaced."""
    pool = project.ready(1)
    old = spare(pool)
    assert {one.parent for one in [*pool.workers(), template(pool), old]} == {pool.pid}
    old.kill()
    until(lambda: (found := templates(pool, " spare")) and found[0].pid != old.pid)
    assert "refused" not in pool.log
    copy = spare(pool)
    (project.folder / "jobs.py").write_text(BROKEN)
    template(pool).kill()
    pool.until_said(f"its copy (pid {copy.pid}) takes over")
    assert until(lambda: templates(pool))[0].pid == copy.pid
    assert spare(pool).pid != copy.pid
    replace_worker(pool)
    id = project.dispatch("Quick")
    project.ledger.until("end", id)
    until(lambda: pool.zombies() == [], 10, "all dead reaped")
    pool.signal(signal.SIGTERM)
    assert pool.wait_exit(3) == 0


def kill_both(pool: Pool) -> None:
    both = [spare(pool), template(pool)]
    for one in both:
        one.kill(signal.SIGSTOP)  # so that none sees the other die
    for one in both:
        one.kill()


@sqlite
def test_without_template_and_copy_the_code_is_loaded_again(project: Project) -> None:
    pool = project.ready(2)
    old = {one.pid for one in pool.until_idle(2)}
    kill_both(pool)
    pool.until_said("generation 2 is accepted")
    until(lambda: len(pool.idle()) == 2 and not old & {one.pid for one in pool.workers()})
    replace_worker(pool, 2)


@sqlite
def test_without_both_and_with_broken_code_the_workers_continue(project: Project) -> None:
    pool = project.ready(2)
    old = {one.pid for one in pool.until_idle(2)}
    jobs = project.folder / "jobs.py"
    good = jobs.read_text()
    jobs.write_text(BROKEN)
    kill_both(pool)
    pool.until_said("generation 2 is refused")
    id = project.dispatch("Quick")
    project.ledger.until("end", id)
    assert {one.pid for one in pool.workers()} == old
    found = poolq(pool, "status", "--json").json
    assert (found["state"], found["trial"]["generation"]) == ("running", 3)
    assert 0 <= found["trial"]["starts_in"] <= 10
    assert "default, running, loads g3 in " in poolq(pool, "status").out
    jobs.write_text(good)
    pool.signal(signal.SIGHUP)
    pool.until_said("is accepted")
    until(lambda: len(pool.idle()) == 2 and not old & {one.pid for one in pool.workers()})


@sqlite
def test_an_application_that_leaves_a_thread_is_imported_by_each_worker(project: Project) -> None:
    jobs = project.folder / "jobs.py"
    thread = "Thread(target=Event().wait, daemon=True, name='my-thread').start()"
    jobs.write_text(f"{jobs.read_text()}\nfrom threading import Event, Thread\n{thread}\n")
    pool = project.ready(2)
    pool.until_said("the import left threads running (my-thread)")
    assert templates(pool) == []
    assert "died" not in pool.log
    replace_worker(pool, 2)
    ids = project.dispatch_many("Quick", 5)
    until(project.settled)
    assert project.ledger.times("end") == dict.fromkeys(ids, 1)
    old = {one.pid for one in pool.workers()}
    pool.signal(signal.SIGHUP)
    pool.until_said("generation 2 is accepted")
    until(lambda: len(pool.idle()) == 2 and not old & {one.pid for one in pool.workers()})
    pool.signal(signal.SIGTERM)
    assert pool.wait_exit() == 0


@sqlite
def test_no_preload_has_no_template(project: Project) -> None:
    jobs = project.folder / "jobs.py"
    good = jobs.read_text()
    pool = project.ready(2, "--no-preload")
    old = {one.pid for one in pool.until_idle(2)}
    assert not [one for one in pool.processes() if "template" in one.title]
    jobs.write_text(BROKEN)
    pool.signal(signal.SIGHUP)
    pool.until_said("is refused; the old workers keep running: module 'jobs' cannot be loaded")
    pool.until_said('jobs.py", line 1, in <module>')
    refusal = poolq(pool, "status", "--json").json["refusal"]
    assert "jobs.py:1: ModuleNotFoundError" in refusal["reason"]
    assert refusal["traceback"].rstrip().endswith("No module named 'nothing_of_this_name'")
    assert {one.pid for one in pool.ready()} == old
    jobs.write_text(good.replace('note("end", self.id)', 'note("new", self.id)'))
    pool.signal(signal.SIGHUP)
    until(lambda: len(pool.idle()) == 2 and not old & {one.pid for one in pool.workers()})
    id = project.dispatch("Quick")
    project.ledger.until("new", id)


@sqlite
def test_no_child_waits_for_a_master_that_died_while_forking(project: Project) -> None:
    for title in ("template g1", "template g1 spare", "worker 1", "worker 1 g1 idle"):
        pool = project.pool(3)
        until(lambda: any(f": {title}" in one.title for one in pool.processes()))  # noqa: B023  # called here
        pool.kill_master()
        pool.until_gone(5)


@sqlite
def test_a_job_cannot_see_whether_its_template_was_forked_or_executed(project: Project) -> None:
    """Other tests fork it, so they must find what they would find in a new interpreter."""
    (project.folder / "jobs.py").write_text(FACTS)
    for executed in (True, False):
        project.new_interpreters = executed
        project.dispatch("Facts", {"file": f"{executed}.json"})
        assert project.pool(1, "--until-empty").wait_exit() == 0
    executed, forked = (
        json.loads((project.folder / f"{executed}.json").read_text()) for executed in (True, False)
    )
    assert forked == executed
