"""`poolq dev`: one worker, and new code with each save."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from poolq.cli.pools.dev import _looks
from tests.process.conftest import MakeProject
from tests.process.engines import sqlite
from tests.support.cli import environment
from tests.support.forked import Forked
from tests.support.ledger import FOLDER
from tests.support.project import Project
from tests.support.wait import until

JOBS = """
import poolq
from tests.support.ledger import gate, note

class Work(poolq.Job):
    def run(self):
        note("begins:v1", self.id)
        print("printed by", self.id)
        gate(self.payload.get("gate", "open"))
        note("ends:v1", self.id)
"""


class Dev:
    """A running `poolq dev`."""

    def __init__(self, project: Project, *flags: str) -> None:
        self.project = project
        self.file = project.folder / "dev.log"
        env = environment(
            POOLQ_ENGINE=project.url,
            POOLQ_NAMESPACE=project.namespace,
            RUNTIME_DIRECTORY=str(project.folder),
            **{FOLDER: str(project.folder)},
        )
        self.file.touch()
        self.process = Forked(
            ["dev", *flags], project.folder, env, ["/dev/null", *[str(self.file)] * 2]
        )

    @property
    def log(self) -> str:
        return self.file.read_text()

    def until_said(self, text: str, times: int = 1) -> None:
        until(lambda: self.log.count(text) >= times, 30, text)

    def save(self, version: str, text: str = JOBS) -> None:
        new = self.project.folder / "jobs.py.new"
        new.write_text(text.replace("v1", version))
        new.replace(self.project.folder / "jobs.py")

    def runs(self, what: str) -> str:
        """Dispatch a job, and wait until it has noted this; its id."""
        id = self.project.dispatch("Work")
        until(lambda: self.project.ledger.lines(f"begins:{what}", id), 30, what)
        return id

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGQUIT)
        until(lambda: self.process.poll() is not None, 30, "its end")


@pytest.fixture
def dev(make_project: MakeProject, engine_url: str) -> Iterator[Dev]:
    project = make_project(engine_url, JOBS)
    project.ledger.open()
    made = Dev(project)
    made.until_said("pool default starts: 1 worker")
    yield made
    made.close()


@sqlite
def test_a_save_loads_new_code_and_a_running_job_finishes_with_the_old(dev: Dev) -> None:
    first = dev.runs("v1")
    dev.until_said(f"printed by {first}")
    slow = dev.project.dispatch("Work", {"gate": "later"})
    until(lambda: dev.project.ledger.lines("begins:v1", slow))
    dev.save("v2")
    dev.until_said("generation 2 is accepted")
    dev.runs("v2")
    dev.project.ledger.open("later")
    until(lambda: dev.project.ledger.lines("ends:v1", slow))


@sqlite
def test_many_saves_within_a_second_are_at_most_two_reloads(dev: Dev) -> None:
    dev.runs("v1")
    for version in range(2, 52):
        dev.save(f"v{version}")
    dev.until_said("generation 2 is accepted")
    dev.runs("v51")
    assert dev.log.count("SIGHUP") <= 2


@sqlite
def test_a_broken_save_shows_its_error_once_and_keeps_the_old_code(dev: Dev) -> None:
    dev.runs("v1")
    dev.save("v2", JOBS + "import helpers.prices\n")
    dev.until_said("generation 2 is refused")
    dev.runs("v1")
    dev.until_said("Traceback")
    assert dev.log.count("Traceback") == 1
    folder = dev.project.folder / "helpers"  # which no code has loaded so far
    folder.mkdir()
    (folder / "prices.py").write_text("")
    dev.until_said("generation 3 is accepted")
    dev.runs("v2")


@sqlite
def test_code_that_is_broken_at_the_start_is_waited_for(
    make_project: MakeProject, engine_url: str
) -> None:
    project = make_project(engine_url, JOBS + "def (")
    project.ledger.open()
    dev = Dev(project)
    try:
        dev.until_said("waiting for the next save")
        dev.save("v2")
        dev.until_said("pool default starts: 1 worker", times=2)
        dev.runs("v2")
    finally:
        dev.close()


@sqlite
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("send", [os.kill, os.killpg], ids=["process", "group"])
def test_it_ends_as_a_pool_ends_and_each_signal_counts_once(
    dev: Dev, how: signal.Signals, send: Callable[[int, int], None]
) -> None:
    dev.runs("v1")
    running = dev.project.dispatch("Work", {"gate": "later"})
    until(lambda: dev.project.ledger.lines("begins:v1", running))
    send(dev.process.pid, how)
    dev.until_said(f"{how.name}: draining; jobs:Work {running} may run")
    dev.project.ledger.open("later")
    until(lambda: dev.process.poll() is not None)
    assert dev.process.poll() == 0
    assert "pool default has ended" in dev.log
    assert "is ignored" not in dev.log
    assert dev.project.ledger.lines("ends:v1", running)


@sqlite
def test_its_pool_ends_if_it_is_killed(dev: Dev) -> None:
    dev.runs("v1")
    dev.process.kill()
    dev.until_said("pool default has ended")


def test_what_it_decides_itself_is_no_flag_of_it() -> None:
    command = [sys.executable, "-m", "poolq", "dev", "--procs=4"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path("/"))
    assert (done.returncode, "--procs" in done.stderr) == (2, True)


FILES, LOOKS = 13_000, 4


def test_a_large_project_costs_little(tmp_path: Path) -> None:
    for number in range(FILES // 130):
        folder = tmp_path / f"package{number}"
        folder.mkdir()
        for module in range(130):
            (folder / f"module{module}.py").touch()
    used: list[float] = []
    pauses: list[float] = []

    def ends(pause: float) -> bool:
        used.append(time.process_time())
        pauses.append(pause)
        if len(pauses) == LOOKS:
            (folder / "module0.py").write_text("changed = True")
        return len(pauses) > 2 * LOOKS

    assert list(_looks(ends, tmp_path)) == [f"{folder.name}/module0.py"]
    costs = [after - before for before, after in pairwise(used[:LOOKS])]
    assert all(cost <= 0.05 * pause for cost, pause in zip(costs, pauses[1:LOOKS], strict=True))
