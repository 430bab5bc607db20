"""The dashboard of `poolq run`, on a real terminal: what a person sees, types and does to it."""

from __future__ import annotations

import os
import signal
import sys

import pytest

from tests.process.engines import sqlite
from tests.support.cli import Command
from tests.support.project import Project
from tests.support.screens import Screens, screens
from tests.support.tty import Tty, state_of
from tests.support.wait import until

__all__ = ["screens"]
CTRL_C, CTRL_Q, CTRL_S, CTRL_Z = "\x03", "\x11", "\x13", "\x1a"
pytestmark = sqlite


def dashboard(tty: Tty, other_than: int = 0) -> int:
    """The pid of the dashboard that shows now."""

    def look() -> int:
        found = tty.titled("poolq: dashboard")
        return found.pid if found and found.pid != other_than else 0

    return until(look, 10, "a dashboard")


def drained(tty: Tty) -> str:
    """End the pool as a person does; what is on the terminal then."""
    tty.type(CTRL_C)
    assert tty.until_ends() == 0
    assert tty.restored()
    return tty.look()


def test_a_pool_is_shown_and_tells_what_it_did(screens: Screens, project: Project) -> None:
    tty = screens.shown(2)
    running = project.dispatch("Held", queue="slow")
    project.dispatch("Fails")
    screen = tty.until_shows("1/2 busy", "jobs:Held", "slow", "ValueError: no luck")
    assert "default.log" in screen
    tty.type(*"/held", "enter")
    tty.until_shows("WORKERS 1", "filter: held")
    tty.type("enter")
    tty.until_shows(running, "STACK", "in gate", "esc goes back", "more lines")
    tty.type("G")
    tty.until_shows("PAYLOAD", "jobs:Held is running in queue slow, attempt 1 of 1")
    tty.type("esc")
    project.ledger.open()
    tty.until_shows("0/2 busy")
    shown = drained(tty)
    assert "poolq: pool default has ended after" in shown
    assert "1 done, 1 failed" in shown
    assert f"its log is {screens.log}" in tty.raw.decode()
    log = screens.log.read_text()
    assert f"done jobs:Held {running}" in log
    assert "done jobs" not in tty.raw.decode(), "no line of the log got into the screen"


def test_it_may_be_killed_and_another_follows(screens: Screens, project: Project) -> None:
    tty = screens.shown(1)
    running = project.dispatch("Held")
    tty.until_shows("1/1 busy")
    first = dashboard(tty)
    os.kill(first, signal.SIGKILL)
    second = dashboard(tty, first)
    tty.until_shows("starting another", "1/1 busy")
    os.kill(second, signal.SIGKILL)
    third = dashboard(tty, second)
    os.kill(third, signal.SIGKILL)
    until(tty.restored, 10, "the terminal as it was")
    until(lambda: "continues without it" in screens.log.read_text(), 10, "a line of that")
    assert tty.code is None, "the pool goes on"
    project.ledger.open()
    project.ledger.until("end", running)
    tty.type(CTRL_C)
    assert tty.until_ends() == 0
    assert tty.restored()
    assert project.ledger.times("start") == {running: 1}


def test_what_a_master_is_told_is_shown_and_its_end_gives_the_terminal_back(
    screens: Screens, project: Project
) -> None:
    tty = screens.shown(1)
    tty.kill(signal.SIGHUP)
    tty.until_shows("RUNNING g2", "SIGHUP: trying generation 2")
    command = Command(project.folder, **screens.environment())
    assert command("pause").code == 0
    tty.until_shows("PAUSED g2", "pool paused: it claims no new jobs")
    tty.kill(signal.SIGTERM)
    assert tty.until_ends() == 0
    assert tty.restored()
    assert "pool default has ended after" in tty.look()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGHUP])
def test_one_that_is_told_to_leave_gives_the_terminal_back(
    screens: Screens, how: signal.Signals
) -> None:
    tty = screens.shown(1)
    os.kill(dashboard(tty), how)
    until(tty.restored, 10, "the terminal as it was")
    until(lambda: "was closed" in screens.log.read_text(), 10, "a line of that")
    tty.until_shows("pool default keeps running")
    tty.type(CTRL_C)
    assert tty.until_ends() == 0


def test_a_stopped_one_holds_up_neither_jobs_nor_the_end(
    screens: Screens, project: Project
) -> None:
    tty = screens.shown(2)
    os.kill(dashboard(tty), signal.SIGSTOP)
    ids = project.dispatch_many("Quick", 100)
    until(project.settled, 20, "the jobs")
    assert len(project.ledger.ids("end")) == len(ids)
    tty.type(CTRL_C)
    assert tty.until_ends() == 0
    assert tty.restored()


def test_ctrl_s_stops_the_picture_and_no_job(screens: Screens, project: Project) -> None:
    tty = screens.shown(2)
    tty.type(CTRL_S)
    before = tty.look()
    project.dispatch_many("Quick", 100)
    until(project.settled, 20, "the jobs")
    assert tty.look() == before
    tty.type(CTRL_Q)
    tty.until_shows(" 100  ")
    tty.type(CTRL_S)
    tty.kill(signal.SIGTERM)
    assert tty.until_ends() == 0, "nobody waits for the terminal"


def test_no_color_and_a_locale_of_ascii_are_obeyed(screens: Screens) -> None:
    tty = screens.run("--procs=1", LC_ALL="C", PYTHONUTF8="0", NO_COLOR="1")
    tty.until_shows("* RUNNING g1", "....")
    assert tty.colours() == {"default"}
    drained(tty)
    assert tty.raw.isascii()


def test_jobs_cannot_steer_the_terminal(screens: Screens, project: Project) -> None:
    tty = screens.shown(1, size=(200, 50))
    project.dispatch("Fails", {"text": "\x1b]0;t\x07漢字\x9b1m"})
    tty.until_shows("\\x1b]0;t\\x07漢字\\x9b1m")
    assert b"\x1b]0;" not in tty.raw
    assert "\x9b" not in tty.raw.decode()
    tty.type("tab", "tab", "tab", "enter")
    tty.until_shows("PAYLOAD", '"text"', "TRACEBACK")
    assert b"\x1b]0;" not in tty.raw
    drained(tty)


@pytest.mark.parametrize(("flags", "term"), [(["--no-dashboard"], "xterm"), ([], "dumb")])
def test_without_it_the_log_is_on_the_terminal(
    screens: Screens, flags: list[str], term: str
) -> None:
    tty = screens.run("--procs=1", *flags, TERM=term)
    tty.until_shows("master: pool default starts: 1 worker")
    assert tty.titled("poolq: dashboard") is None
    tty.type(CTRL_C)
    assert tty.until_ends() == 0
    assert b"\x1b" not in tty.raw
    assert not screens.log.exists()


def test_a_pool_that_cannot_start_says_why(screens: Screens, project: Project) -> None:
    (project.folder / "jobs.py").write_text("import nothing_of_this_name\n")
    tty = screens.run("--procs=1")
    assert tty.until_ends() == 3
    assert "nothing_of_this_name" in tty.look()
    assert tty.restored() or b"\x1b[?1049h" not in tty.raw


def in_a_shell(screens: Screens) -> Tty:
    """`poolq run` as a job of an interactive shell."""
    tty = screens.tty()
    tty.start(
        screens.project.folder, "bash", "--norc", "--noprofile", "--noediting", "-i",
        **screens.environment(PS1="shell> "),
    )  # fmt: skip
    tty.until_shows("shell>")
    tty.type(f"{sys.executable} -m poolq run --procs=1", "enter")
    tty.until_shows("WORKERS 1", "RUNNING g1")
    return tty


def test_a_killed_master_s_terminal_is_given_back_by_its_dashboard(
    screens: Screens, project: Project
) -> None:
    tty = in_a_shell(screens)
    running = project.dispatch("Held")
    tty.until_shows("1/1 busy")
    master = tty.titled("poolq: master")
    assert master is not None
    master.kill(signal.SIGKILL)
    tty.until_shows(f"the master of pool default (pid {master.pid}) has died")
    assert f"its log is {screens.log}" in tty.raw.decode()
    until(tty.restored, 10, "the terminal as it was")
    project.ledger.open()
    project.ledger.until("end", running)
    tty.type("echo still", "here", "enter")
    tty.until_shows("stillhere")


def test_ctrl_z_suspends_the_pool_and_fg_comes_back(screens: Screens) -> None:
    tty = in_a_shell(screens)
    shown, master = dashboard(tty), tty.titled("poolq: master")
    assert master is not None
    for _ in range(2):
        tty.type(CTRL_Z)
        tty.until_shows("Stopped", "shell>")
        assert tty.restored()
        assert {state_of(master.pid), state_of(shown)} == {"T"}
        tty.type("fg", "enter")
        until(lambda: not tty.restored(), what="the dashboard to have the terminal again")
        tty.until_shows("WORKERS 1", "RUNNING g1")
    tty.type(CTRL_Z)
    tty.until_shows("Stopped")
    tty.type("bg", "enter")
    until(lambda: state_of(master.pid) == "S", 10, "a pool in the background")
    tty.type("echo still; fg", "enter")
    until(lambda: not tty.restored(), what="the dashboard to have the terminal again")
    tty.until_shows("RUNNING g1")
    tty.type(CTRL_C)
    tty.until_shows("has ended after", "shell>")
    assert tty.restored()
