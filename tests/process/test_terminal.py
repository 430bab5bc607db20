"""A pool in the foreground of a terminal: Ctrl-C and related keys reach only the master."""

from __future__ import annotations

import os
import pty
import signal
from collections.abc import Iterator

import pytest

from tests.process.engines import sqlite
from tests.support.project import Project
from tests.support.wait import until

CTRL_C, CTRL_BACKSLASH = b"\x03", b"\x1c"
Terminal = tuple[int, int]  # the person's end and the programs'


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    person, programs = pty.openpty()
    yield person, programs
    os.close(person)
    os.close(programs)


@sqlite
def test_ctrl_c_drains_without_signalling_the_jobs(project: Project, terminal: Terminal) -> None:
    person, programs = terminal
    pool = project.pool(2, terminal=programs)
    running = project.dispatch("Held")
    worker = pool.until_runs(running)
    assert worker.group == worker.pid, "its signals are its own"
    os.write(person, CTRL_C)
    pool.until_said("SIGINT: draining")
    assert pool.until_runs(running).pid == worker.pid
    project.ledger.open()
    assert pool.wait_exit() == 0
    assert project.ledger.times("end") == {running: 1}
    assert project.total("crashed") == 0


@sqlite
def test_ctrl_backslash_aborts(project: Project, terminal: Terminal) -> None:
    person, programs = terminal
    pool = project.pool(1, terminal=programs)
    running = project.dispatch("Held")
    pool.until_runs(running)
    os.write(person, CTRL_BACKSLASH)
    assert pool.wait_exit() == 5
    assert project.total("crashed") == 0


@sqlite
@pytest.mark.parametrize("through", [(), ("nohup",)], ids=["plain", "nohup"])
def test_a_closed_terminal_ends_the_pool_except_with_nohup(
    project: Project, through: tuple[str, ...]
) -> None:
    person, programs = pty.openpty()
    pool = project.pool(1, terminal=programs, through=through)
    pool.until_ready(1)
    os.close(programs)
    os.close(person)
    pool.until_said("SIGHUP, and the terminal is gone")
    if through:
        id = project.dispatch("Quick")
        project.ledger.until("end", id)

        def reloads() -> bool:
            """Soon after the terminal's end HUP is taken to mean the same."""
            pool.signal(signal.SIGHUP)
            return "generation 2 is accepted" in pool.log

        until(reloads)
        pool.signal(signal.SIGTERM)
    assert pool.wait_exit() == 0
