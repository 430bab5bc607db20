"""What a job may do inside `run()` without harm to its worker or to the next job."""

from __future__ import annotations

from poolq.jobs.message import entries
from tests.process.engines import sqlite
from tests.support.project import Project
from tests.support.wait import until

JOBS = """
import os, sys
import asyncio
from concurrent.futures import ProcessPoolExecutor
import poolq
from poolq import Job
from tests.support.ledger import note

class Raises(Job):
    attempts = 2
    def run(self):
        note("start", self.id)
        kind = self.payload["kind"]
        if kind == "exit":
            sys.exit("enough")
        if kind == "interrupt":
            raise KeyboardInterrupt
        if kind == "base":
            raise GeneratorExit("odd")
        if kind == "fail":
            try:
                self.fail("no such customer")
            except Exception:
                note("swallowed", self.id)
        if kind == "release":
            try:
                self.release("50ms")
            except Exception:
                note("swallowed", self.id)
        if kind == "unprintable":
            class Odd(Exception):
                def __str__(self):
                    sys.exit("odd")
            raise Odd
        if kind == "recursion":
            def deeper(): return deeper() + 1
            deeper()
        if kind == "closed":
            os.close(2)
            raise ValueError("silent")

    def on_failure(self):
        note(f"failure:{type(self.error).__name__}", self.id)

class Loop(Job):
    async def run(self):
        await asyncio.sleep(0)
        task = asyncio.create_task(asyncio.sleep(3600))
        note(f"loop:{id(asyncio.get_running_loop()) > 0}", self.id)

class Dirty(Job):
    seen = None
    def run(self):
        note(f"clean:{not hasattr(self, 'mark') and self.payload == {'list': [1]}}", self.id)
        self.mark = True
        self.payload["list"].append(2)
        if self.attempt == 1:
            raise ValueError("again")

class Hooks(Job):
    def run(self):
        if self.payload["fails"]:
            raise ValueError("no luck")
    def on_success(self):
        raise LookupError("success hook")
    def on_failure(self):
        sys.exit("failure hook")

class Prints(Job):
    def run(self):
        print("to stdout \\udcff", flush=True)
        sys.stderr.buffer.write(b"garbage \\xff\\xfe\\n")
        note(f"stdin:{sys.stdin.read()!r}", self.id)

class Children(Job):
    def run(self):
        with ProcessPoolExecutor(2) as pool:
            note(f"sum:{sum(pool.map(abs, [-1, -2]))}", self.id)

@poolq.job
def whoami():
    note("current", poolq.current().id)
"""


@sqlite
def test_whatever_a_job_raises_its_worker_lives(project: Project) -> None:
    pool = project.ready(1)
    (worker,) = pool.workers()
    for kind, starts, error, words in (
        ("exit", 2, "SystemExit", "SystemExit: enough"),
        ("interrupt", 2, "KeyboardInterrupt", "KeyboardInterrupt"),
        ("base", 2, "GeneratorExit", "GeneratorExit: odd"),
        ("fail", 1, "JobFailed", "JobFailed: no such customer"),
        ("release", 2, "JobReleased", "JobReleased"),
        ("unprintable", 2, "Odd", "Odd: (its text is not available: SystemExit)"),
        ("recursion", 2, "RecursionError", "RecursionError"),
    ):
        failing = project.dispatch("Raises", {"kind": kind}, attempts=2)
        (line,) = project.ledger.until(f"failure:{error}", failing)
        until(lambda failing=failing: failing in project.failed())  # type: ignore[misc]  # mypy: no lambda defaults
        started = project.ledger.lines("start", failing)
        assert [one.pid for one in [*started, line]] == [worker.pid] * (starts + 1), kind
        history = entries(project.failed()[failing].state.history)
        assert history[-1].error.startswith(words)
        fine = project.dispatch("Loop")
        (line,) = project.ledger.until("loop:True", fine)
        assert line.pid == worker.pid, kind
    assert project.ledger.ids("swallowed") == []


@sqlite
def test_nothing_leaks_from_one_execution_to_the_next(project: Project) -> None:
    ids = project.dispatch_many("Dirty", [{"list": [1]}, {"list": [1]}], attempts=2)
    assert project.pool(1, "--until-empty").wait_exit() == 0
    assert project.ledger.times("clean:True") == dict.fromkeys(ids, 2)


@sqlite
def test_a_hook_that_raises_changes_nothing(project: Project) -> None:
    done = project.dispatch("Hooks", {"fails": False})
    failed = project.dispatch("Hooks", {"fails": True})
    pool = project.ready(1)
    (worker,) = pool.workers()
    until(project.settled)
    assert list(project.failed()) == [failed]
    assert project.total("done") == 1
    pool.until_said(f"on_success of jobs:Hooks {done} raised; the outcome stands: LookupError")
    pool.until_said(f"on_failure of jobs:Hooks {failed} raised; the outcome stands: SystemExit")
    assert pool.until_idle(1)[0].pid == worker.pid
    assert "jobs.py" in pool.log, "with its traceback"


@sqlite
def test_a_job_may_print_and_read_and_fork(project: Project) -> None:
    prints = project.dispatch("Prints")
    forks = project.dispatch("Children")
    whoami = project.dispatch("whoami")
    pool = project.pool(1, "--until-empty")
    assert pool.wait_exit() == 0
    assert project.ledger.ids("stdin:''") == [prints], "stdin is empty"
    assert project.ledger.ids("sum:3") == [forks]
    assert project.ledger.ids("current") == [whoami]


@sqlite
def test_a_job_that_closes_stderr_costs_the_log_alone(project: Project) -> None:
    closing = project.dispatch("Raises", {"kind": "closed"}, attempts=2)
    after = project.dispatch_many("Dirty", [{"list": [1]}], attempts=2)
    assert project.pool(1, "--until-empty").wait_exit() == 0
    assert list(project.failed()) == [closing]
    assert project.ledger.times("clean:True") == dict.fromkeys(after, 2)
