"""A person browses the jobs of a real pool on the screen."""

from __future__ import annotations

from contextlib import ExitStack

from tests.conftest import OwnRedis
from tests.process.conftest import MakeProject
from tests.process.engines import sqlite
from tests.support.cli import Command
from tests.support.pool import Pool
from tests.support.project import STANDARD, Project
from tests.support.screens import Screens, screens
from tests.support.tty import Tty
from tests.support.wait import until

__all__ = ["screens"]
CTRL_C = "\x03"
JOBS = f"""{STANDARD.read_text()}
from poolq import Limit

class Mail(Job):
    on_limit = "park"

    def rate_limit(self):
        return Limit(1, minutes=5)

    def run(self):
        pass
"""
SIZES = ((60, 15), (100, 30), (200, 50))
RETRY = {"attempts": 3, "retry_after": ["10m"]}
PAUSED = "why: queue idle is paused until 'poolq queue resume idle'"


def dispatch_all(project: Project, pool: Pool) -> None:
    """Dispatch jobs of which each waits for another reason, and one that keeps the worker busy."""
    project.engine.pause("idle")
    project.dispatch_many("Mail", 3, queue="mails", on_limit="park")
    project.dispatch("Gone", queue="gone")
    project.dispatch("Fails", queue="flaky", **RETRY)
    until(lambda: waiting(project) == {"mails": 2, "gone": 1, "flaky": 1}, 20, "all to wait")
    pool.until_runs(project.dispatch("Held"))
    project.dispatch("Quick", {"to": "ada"})
    project.dispatch("Quick", {"to": "bob"}, delay="+1 hour")
    project.dispatch("Quick", queue="idle")
    project.dispatch("Quick", queue="lost")


def waiting(project: Project) -> dict[str, int]:
    """How many jobs of each queue are delayed or parked."""
    counts = project.engine.counts()
    return {one.queue: one.delayed + one.parked for one in counts if one.delayed + one.parked}


def until_says(tty: Tty, *texts: str) -> None:
    """Wait until the screen shows these texts, which may be broken between words."""
    try:
        until(lambda: all(text in " ".join(tty.look().split()) for text in texts), 20, str(texts))
    except AssertionError as error:
        raise AssertionError(f"{error}\n{tty.look()}") from None


def test_lists_answer_why_each_job_waits(make_project: MakeProject, own_redis: OwnRedis) -> None:
    server = own_redis()
    with ExitStack() as stack:
        project = make_project(server.url, JOBS)
        screens = Screens(stack, project)
        pool = project.ready(1, "--queue=default,mails,gone,flaky,idle")
        dispatch_all(project, pool)
        tty = screens.top(pool, "--read-only", "--no-mouse", size=(60, 15))
        tty.type("tab")
        tty.until_shows("1/1 busy", "QUEUES 6", "lost")
        assert b"\x1b[?1000h" not in tty.raw, "it does not ask for the mouse"
        reasons = (
            ("idle", PAUSED),
            ("lost", "why: no pool serves queue lost; start one with --queue=lost"),
            ("gone", "why: no module of the application defines jobs:Gone; workers try again"),
            (
                "flaky",
                "why: the next attempt is due at",
                "because attempt 1 failed with ValueError",
            ),
            ("mails", "why: limit jobs:Mail (1 per 5m) is used up until"),
        )
        for number, (queue, *why) in enumerate(reasons):
            tty.resize(*SIZES[number % len(SIZES)])
            tty.type("/", *queue, "enter", "enter")
            until_says(tty, f"QUEUE {queue} ", *why)
            tty.type("esc")
            until_says(tty, f"filter: {queue}", "QUEUES 1")
            tty.type("esc")
        tty.type("/", *"default", "enter", "enter")
        until_says(tty, "QUEUE default 1 running, 1 ready, 1 delayed", '{"to":"ada"}')
        tty.type("j")
        until_says(tty, "why: the only worker is busy")
        command = Command(project.folder, **screens.environment(pool.runtime))
        assert command("pause").code == 0
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
        tty.type("j", "j", "enter")
        until_says(tty, "why it is delayed until")
        server.stop()
        until_says(tty, "why the engine does not answer, so no pool can claim the job")
        tty.type("esc")
        until_says(tty, "not current: the engine does not answer", '{"to":"bob"}')


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
