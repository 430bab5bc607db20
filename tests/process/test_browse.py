"""A person browses the jobs of a real pool on the screen."""

from __future__ import annotations

from tests.process.engines import sqlite
from tests.support.project import Project
from tests.support.screens import Screens, screens
from tests.support.talking import poolq
from tests.support.tty import Tty
from tests.support.wait import until

__all__ = ["screens"]
CTRL_C = "\x03"
PAUSED = "why: queue idle is paused until 'poolq queue resume idle'"


def until_says(tty: Tty, *texts: str) -> None:
    """Wait until the screen shows these texts, which may be broken between words."""
    try:
        until(lambda: all(text in " ".join(tty.look().split()) for text in texts), 20, str(texts))
    except AssertionError as error:
        raise AssertionError(f"{error}\n{tty.look()}") from None


@sqlite
def test_lists_answer_why_each_job_waits(screens: Screens, project: Project) -> None:
    project.engine.pause("idle")
    project.dispatch("Quick", queue="idle")
    pool = project.ready(1)
    pool.until_runs(project.dispatch("Held"))
    project.dispatch("Quick", {"to": "ada"})
    project.dispatch("Quick", {"to": "bob"}, delay="+1 hour")
    tty = screens.top(pool, "--read-only", size=(60, 15))
    tty.type("tab")
    tty.until_shows("1/1 busy", "QUEUES 2")
    tty.type("/", *"idle", "enter", "enter")
    until_says(tty, "QUEUE idle ", PAUSED)
    tty.type("esc")
    until_says(tty, "filter: idle", "QUEUES 1")
    tty.resize(100, 30)
    tty.type("esc", "/", *"default", "enter", "enter")
    until_says(tty, "QUEUE default 1 running, 1 ready, 1 delayed", '{"to":"ada"}')
    tty.type("j")
    until_says(tty, "why: the only worker is busy")
    assert poolq(pool, "pause").code == 0
    until_says(tty, "why: pool default is paused until 'poolq resume'")
    tty.type("j")
    until_says(tty, "why: it is delayed until", "(in 59m")
    tty.type("enter")
    until_says(tty, "why it is delayed until", "PAYLOAD", '"to": "bob"', "dispatched")
    tty.type("X")
    until_says(tty, "this screen is read-only")
    tty.type("esc", "tab")
    until_says(tty, "QUEUE default [1 running], 1 ready, 1 delayed", "jobs:Held")
    tty.type("\x1b[Z")
    until_says(tty, "QUEUE default 1 running, 1 ready, 1 delayed", '{"to":"bob"}')


@sqlite
def test_failures_of_an_earlier_pool_are_shown_with_their_place(
    screens: Screens, project: Project
) -> None:
    failed = project.dispatch("Fails", {"text": "declined"})
    tty = screens.shown(1)
    tty.until_shows("FAILURES 1", "ValueError: declined")
    tty.type(CTRL_C)
    assert tty.until_ends() == 0
    tty = screens.shown(1, size=(200, 50))
    tty.until_shows("FAILURES 1", "ValueError: declined")
    tty.type("tab", "tab", "tab", "enter")
    screen = tty.until_shows("raised at", "jobs.py:", "in run", "TRACEBACK", "PAYLOAD", "HISTORY")
    assert screen.index("ValueError: declined") < screen.index("raised at")
    tty.type("X")
    tty.until_shows(f"Forget failed job jobs:Fails {failed} permanently?")
    tty.type("y")
    tty.until_shows("is forgotten", "ended: done, cancelled")
    tty.type("esc")
    tty.until_shows("FAILURES 0", "no job has failed")
    assert project.failed() == {}
    tty.type(CTRL_C)
    assert tty.until_ends() == 0
