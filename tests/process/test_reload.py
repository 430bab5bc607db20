"""HUP: a canary comes first, then the other workers; a bad deploy is only logged."""

from __future__ import annotations

import json
import signal
import socket
from functools import partial

import pytest

from poolq.system.wakeups import readable
from tests.process.engines import on, sqlite
from tests.support.pool import Pool
from tests.support.project import Project
from tests.support.talking import connect
from tests.support.wait import patience, until

JOBS = """
import os
from pathlib import Path

from poolq import Job
from tests.support.ledger import FOLDER, gate, note

VERSION = "v1"
if Path(os.environ[FOLDER], "import-waits").exists():
    note("import", VERSION)
    gate("import")


class Quick(Job):
    def run(self):
        note("start", self.id)
        note(VERSION, self.id)
        note("end", self.id)


class Held(Job):
    def run(self):
        note("start", self.id)
        gate("open")
        note("end", self.id)
"""
BROKEN = {
    "import": ("import nothing_of_this_name\n", "No module named 'nothing_of_this_name'"),
    "syntax": ("def x(:\n", "SyntaxError"),
    "raises": ("raise RuntimeError('not today')\n", "not today"),
    "odd": ("raise RuntimeError('not today ' + '\\udcff' * 100_000)\n", r"not today \udcff"),
    "exits": ("import os\nos._exit(9)\n", "its template exited with code 9"),
    "dies": ("import os\nos.kill(os.getpid(), 9)\n", "its template was killed"),
    "option": ("from poolq import Job\nclass A(Job):\n    attempts = 0\n", "attempts"),
}


#: Forked twice: not in the process between.
DIES_WHEN_FORKED = """
TEMPLATE = os.getpid()


def after_fork():
    if os.getppid() != TEMPLATE:
        os._exit(1)


os.register_at_fork(after_in_child=after_fork)
"""


def deploy(project: Project, text: str) -> None:
    """In one act: a file that is half written is a change of its own."""
    new = project.folder / "jobs.py.new"
    new.write_text(text)
    new.replace(project.folder / "jobs.py")


def version(number: int) -> str:
    return JOBS.replace('"v1"', f'"v{number}"')


@pytest.mark.timeout(180)  # some 10 s where nothing else runs
@on("redis")
def test_twenty_reloads_under_load_lose_no_job_and_run_none_twice(project: Project) -> None:
    """Every other one is broken, and refused. Each follows as soon as the one before is decided."""
    pool = project.ready(2)
    ids: list[str] = []
    broken = [text for text, _ in BROKEN.values()]

    def decided(line: socket.socket) -> bool:
        ids.extend(project.dispatch_many("Quick", 5))
        return bool(readable([line.fileno()], 0.02))

    for generation in range(2, 22):
        good = generation % 2 == 0
        deploy(project, version(generation) if good else broken[generation // 2 % len(broken)])
        with connect(pool) as line:
            line.sendall(b'{"v":1,"do":"reload","wait":true}\n')
            until(partial(decided, line), 30, "the pool's verdict")
            assert json.loads(line.recv(1 << 16))["ok"] is good
    until(project.settled, 20)
    assert project.ledger.times("start") == dict.fromkeys(ids, 1)
    assert project.ledger.times("end") == dict.fromkeys(ids, 1)
    assert (project.total("done"), project.total("crashed")) == (len(ids), 0)
    until(lambda: {one.title.split()[3] for one in pool.workers()} == {"g20"})
    until(lambda: pool.zombies() == [], 10, "all dead reaped")


@sqlite
def test_a_bad_deploy_is_refused_and_says_why(project: Project) -> None:
    """Whatever is bad in it, one after the other."""
    pool = project.ready(2)
    old = {one.pid for one in pool.until_idle(2)}
    for number, (how, (text, why)) in enumerate(BROKEN.items(), 2):
        before = len(pool.log)
        deploy(project, text)
        pool.signal(signal.SIGHUP)
        said = pool.until_said(f"generation {number} is refused; the old workers keep running")
        assert why in said, how
        if how in ("import", "raises"):
            place = 'jobs.py", line 1, in <module>'
            until(lambda: place in pool.log[before:], what=place)  # noqa: B023  # called at once
        id = project.dispatch("Quick")
        project.ledger.until("end", id)
        assert {one.pid for one in pool.workers()} == old, how
    assert pool.log.count("is refused") == len(BROKEN), "none is tried again and again"
    until(lambda: pool.zombies() == [], 10, "all dead reaped")


@sqlite
def test_a_first_worker_that_cannot_boot_is_refused(project: Project) -> None:
    """The template loads it, but what it forks dies."""
    pool = project.ready(2)
    old = {one.pid for one in pool.until_idle(2)}
    deploy(project, JOBS + DIES_WHEN_FORKED)
    pool.signal(signal.SIGHUP)
    pool.until_said("generation 2 is refused; the old workers keep running")
    assert {one.pid for one in pool.ready()} == old
    deploy(project, version(3))
    pool.signal(signal.SIGHUP)
    until(lambda: len(pool.idle()) == 2 and not old & {one.pid for one in pool.workers()})


@sqlite
def test_a_load_that_hangs_is_refused_at_the_boot_timeout(project: Project) -> None:
    # The first load must be done in that time.
    pool = project.ready(1, f"--boot-timeout={min(30.0, patience(6)):.1f}")
    (old,) = pool.until_idle(1)
    (project.folder / "import-waits").touch()
    pool.signal(signal.SIGHUP)
    pool.until_said("did not load the application in time")
    pool.until_said("is refused; the old workers keep running")
    assert [one.pid for one in pool.workers()] == [old.pid]


def begin_reload(project: Project, pool: Pool) -> None:
    """A reload that has begun and cannot go on before the gate "import" opens."""
    (project.folder / "import-waits").touch()
    pool.signal(signal.SIGHUP)
    project.ledger.until("import")


@sqlite
def test_hups_during_a_reload_cause_one_more_reload(project: Project) -> None:
    pool = project.ready(2)
    begin_reload(project, pool)
    deploy(project, version(3))
    for _ in range(3):
        pool.signal(signal.SIGHUP)
        pool.until_said("another reload follows")
    project.ledger.open("import")
    pool.until_said("generation 3 is accepted")
    until(lambda: len(pool.idle()) == 2 and all(" g3 " in one.title for one in pool.workers()))
    id = project.dispatch("Quick")
    project.ledger.until("v3", id)
    assert "generation 4" not in pool.log


@sqlite
def test_term_in_the_middle_of_a_reload_ends_the_pool(project: Project) -> None:
    pool = project.ready(2)
    running = project.dispatch("Held")
    pool.until_runs(running)
    begin_reload(project, pool)
    pool.signal(signal.SIGTERM)
    pool.until_said("SIGTERM: draining")
    project.ledger.open()
    assert pool.wait_exit() == 0
    assert project.ledger.times("end") == {running: 1}


@sqlite
def test_a_long_job_of_the_old_code_does_not_delay_the_other_workers(project: Project) -> None:
    pool = project.ready(2)
    running = project.dispatch("Held")
    worker = pool.until_runs(running)
    deploy(project, version(2))
    pool.signal(signal.SIGHUP)
    until(lambda: sum(" g2 " in one.title for one in pool.idle()) == 2)
    assert pool.until_runs(running).pid == worker.pid
    ids = project.dispatch_many("Quick", 5)
    for id in ids:
        project.ledger.until("v2", id)
    project.ledger.open()
    project.ledger.until("end", running)
    until(lambda: len(pool.workers()) == 2)


@sqlite
def test_a_cooldown_loads_changed_code_and_tries_broken_code_once(project: Project) -> None:
    pool = project.ready(2, "--cooldown=0.8")
    deploy(project, version(2))
    ids: list[str] = []

    def taken(now: str) -> bool:
        ids.extend(project.dispatch_many("Quick", 1))
        return bool(project.ledger.lines(now))

    until(lambda: taken("v2"), 10, "the new code")
    pool.until_said("files changed: jobs.py: trying generation 2")
    deploy(project, f"import helper_to_come\n{version(3)}")
    pool.until_said("is refused; the old workers keep running")
    for _ in range(2):  # each seat twice, so that each has asked for what has changed
        old = {one.pid for one in pool.workers()}
        until(lambda old=old: not old & {one.pid for one in pool.workers()})
    assert pool.log.count("is refused") == 1
    (project.folder / "helper_to_come.py").write_text("")
    until(lambda: taken("v3"), 10, "the code that was mended beside the file that was refused")
    until(project.settled)
    assert project.ledger.times("end") == dict.fromkeys(ids, 1)
