"""What the dashboard calls trouble, in real pools: whatever keeps jobs waiting is said in words."""

from __future__ import annotations

import json
import re
import signal
from contextlib import ExitStack
from functools import partial
from urllib.request import urlopen

from tests.process.conftest import MakeProject
from tests.process.engines import redis_and_sqlite, sqlite
from tests.process.test_metrics import port
from tests.support.cli import Command
from tests.support.pool import Pool
from tests.support.project import STANDARD, Project
from tests.support.screens import Screens, screens
from tests.support.wait import until

__all__ = ["port", "screens"]
LIMITED = """
from poolq import Job, Limit

class Parks(Job):
    on_limit = "park"

    def rate_limit(self):
        return Limit(2, seconds=1)

    def run(self):
        pass

class Waits(Job):
    attempts = 1000

    def rate_limit(self):
        return Limit(3, seconds=1, key="geocode")

    def run(self):
        pass
"""
SLOW_LIMIT = """
from poolq import Limit

class Report(Job):
    on_limit = "park"

    def rate_limit(self):
        return Limit(1, seconds=6)

    def run(self):
        pass
"""


def poolq(screens: Screens, pool: Pool) -> Command:
    """The commands, not on a terminal."""
    return Command(screens.project.folder, **screens.environment(pool.runtime))


@redis_and_sqlite
def test_short_windows_are_shown_as_what_they_do(
    make_project: MakeProject, engine_url: str, port: int
) -> None:
    """All who tell of a limit tell the same."""
    with ExitStack() as stack:
        project = make_project(engine_url, LIMITED)
        screens = Screens(stack, project)
        pool = project.ready(2, f"--metrics=127.0.0.1:{port}")
        project.dispatch_many("Parks", 200, on_limit="park")
        project.dispatch_many("Waits", 200, attempts=1000)
        tty = screens.top(pool, size=(200, 50))
        tty.until_shows(
            "limit jobs:Parks holds back: ", "of 2.0 allowed (2 per 1s)", "/2.0 ",
            "limit geocode holds back: ", "of 3.0 allowed (3 per 1s)", "begins to hold jobs back",
        )  # fmt: skip
        command = poolq(screens, pool)

        def both_start() -> bool:
            """Jobs of both start, and no more than are allowed."""
            found = json.loads(command("status", "--json").out)["limits"]
            assert {one["key"] for one in found} == {"jobs:Parks", "geocode"}
            assert all(0 <= one["starts"] <= one["allowed"] for one in found)
            return all(one["starts"] > 0 and one["state"] == "holds back" for one in found)

        until(both_start, what="starts of both")
        shown = tty.until_shows("held (times) ")
        assert len(re.findall(r"HOLDS BACK +[\d.]+/[23]\.0 ", shown)) == 2
        assert "no trouble" not in shown
        with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            told = answer.read().decode()
        for name, allowed in (("jobs:Parks", 2), ("geocode", 3)):
            assert f'poolq_limit_holds_back{{limit="{name}",window="1"}} 1.0' in told
            assert (
                f'poolq_limit_allowed_per_second{{limit="{name}",window="1"}} {allowed}.0' in told
            )
        screens.top(pool, size=(60, 15)).until_shows("holds back")


@sqlite
def test_jobs_that_no_pool_takes_are_told_until_one_does(
    screens: Screens, project: Project
) -> None:
    tty = screens.shown(1, "--queue=default")
    lost = project.dispatch("Quick", queue="lost")
    tty.until_shows("queue lost unserved: 1 job waits", "no pool takes this queue", "UNSERVED")
    project.ready(1, "--name=other", "--queue=lost")
    project.ledger.until("end", lost)
    tty.until_shows("no trouble")


def only_limit(command: Command) -> tuple[str, int, float | None]:
    (limit,) = json.loads(command("status", "--json").out)["limits"]
    return limit["state"], limit["waiting"], limit["empty_in"]


def why(command: Command, id: str) -> str:
    return json.loads(command("job", "show", "--json", id).out)["why"]


@redis_and_sqlite
def test_jobs_whose_limit_has_a_free_slot_are_said_to_wait_for_the_worker(
    make_project: MakeProject, engine_url: str
) -> None:
    """The limit's window ends while the only worker is busy for long."""
    with ExitStack() as stack:
        project = make_project(engine_url, STANDARD.read_text() + SLOW_LIMIT)
        screens = Screens(stack, project)
        pool = project.ready(1)
        project.dispatch_many("Report", 3, on_limit="park")
        until(lambda: project.total("parked") == 2)
        pool.until_runs(project.dispatch("Held"))
        tty = screens.top(pool, size=(100, 30))
        tty.until_shows("LIMITS 1", "open")
        command = poolq(screens, pool)
        for parked in project.engine.page("parked").jobs:
            reason = partial(why, command, parked.id)
            until(lambda reason=reason: "has a free slot" in reason())
            assert "the only worker is busy; " in reason()
        (limit,) = json.loads(command("limit", "ls", "--json").out)["limits"]
        assert (limit["state"], limit["waiting"]) == ("open", 2)
        until(lambda: only_limit(command) == ("open", 2, None))
        project.ledger.open()
        tty.until_shows("no trouble")


@sqlite
def test_trouble_is_told_while_it_lasts(screens: Screens, project: Project) -> None:
    """A busy worker, a paused queue, a worker that was killed, and a job that no module defines."""
    tty = screens.shown(1)
    running = project.dispatch("Held")
    project.ledger.until("start", running)
    project.dispatch_many("Quick", 3)
    tty.until_shows("pool behind: the only worker is busy, 3 ready in default, the oldest for ")
    project.ledger.open()
    tty.until_shows("no trouble")
    project.engine.pause("default")
    tty.until_shows("queue default paused: 0 ready and 0 delayed or parked jobs", "PAUSED")
    project.engine.resume("default")
    tty.until_shows("no trouble")
    worker = next(one for one in tty.processes() if "worker 1" in one.title)
    worker.kill(signal.SIGKILL)
    tty.until_shows(f"worker 1 died: pid {worker.pid} killed by SIGKILL ", " ago", "WORKERS 1")
    project.dispatch("Tomorrow", queue="new")
    tty.until_shows("job jobs:Tomorrow unknown: 1 job in queue new released: no module")
