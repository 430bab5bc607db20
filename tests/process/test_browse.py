"""A person browses the jobs of a real pool on the screen."""

from __future__ import annotations

import pytest

from tests.process.engines import redis_and_sqlite, sqlite
from tests.support.project import Project
from tests.support.screens import Screens, screens
from tests.support.wait import until

__all__ = ["screens"]
CTRL_C = "\x03"
MAIL = """

from poolq import Limit

class Mail(Job):
    on_limit = "park"

    def rate_limit(self):
        return Limit(1, minutes=5)

    def run(self):
        pass
"""


@pytest.fixture
def mails(project: Project) -> Project:
    file = project.folder / "jobs.py"
    file.write_text(file.read_text() + MAIL)
    return project


def was_released(project: Project, id: str) -> bool:
    """Whether a worker has claimed the job and released it."""
    stored = project.engine.find(id)
    return stored is not None and b"unknown" in stored.state.history


@redis_and_sqlite
def test_lists_answer_why_each_job_waits(screens: Screens, mails: Project) -> None:
    pool = mails.ready(1)
    mails.dispatch_many("Mail", 3, queue="mails", on_limit="park")
    until(lambda: any(one.parked == 2 for one in mails.engine.counts()), 20, "two parked mails")
    unknown = mails.dispatch("Gone", queue="gone")
    until(lambda: was_released(mails, unknown), 20, "a worker to try a job that no module defines")
    running = mails.dispatch("Held")
    pool.until_runs(running)
    mails.dispatch("Quick", {"to": "ada"})
    mails.dispatch("Quick", {"to": "bob"}, delay="+1 hour")
    mails.engine.pause("idle")
    mails.dispatch("Quick", queue="idle")
    tty = screens.top(pool, "--read-only", size=(200, 50))
    tty.until_shows("1/1 busy", "QUEUES 4", "FAILURES 0")
    tty.type("tab", "/", *"default", "enter", "enter")
    tty.until_shows("QUEUE default  1 running, 1 ready, 1 delayed", '{"to":"ada"}', '{"to":"bob"}')
    tty.type("j")
    tty.until_shows("why: the only worker is busy")
    tty.type("j")
    tty.until_shows("why: it is delayed until ", "(in 59m")
    tty.type("enter")
    tty.until_shows("why          it is delayed until ", "PAYLOAD", '"to": "bob"', "dispatched")
    tty.type("X", "esc", "esc")
    tty.until_shows("filter: default")
    for name, why in (
        ("idle", "why: queue idle is paused until 'poolq queue resume idle'"),
        ("gone", "why: no module of the application defines jobs:Gone"),
        ("mails", "why: limit jobs:Mail (1 per 5m) is used up until "),
    ):
        tty.type("esc", "/", *name, "enter", "enter")
        tty.until_shows(f"QUEUE {name}", why)
        tty.type("esc")
        tty.until_shows(f"filter: {name}")
    tty.type("esc", "tab", "enter")
    tty.until_shows("LIMIT jobs:Mail  1 per 5m  2 wait  next slot ", "JOBS 2")
    tty.type("esc", "q")
    assert tty.until_ends() == 0
    assert sum(one.ready + one.delayed for one in mails.engine.counts()) == 4, "all are still there"


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
    tty.type("r")
    project.ledger.until("start", failed, times=2)
    tty.until_shows("attempts     1 of 1 used")
    tty.type("X", "y")
    tty.until_shows("is forgotten", "and is now done or forgotten")
    tty.type("esc")
    tty.until_shows("FAILURES 0", "no job has failed")
    assert project.failed() == {}
    tty.type(CTRL_C)
    assert tty.until_ends() == 0
