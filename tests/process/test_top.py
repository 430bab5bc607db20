"""`poolq top` beside a pool: what it shows, does and prints."""

from __future__ import annotations

import signal
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.conftest import OwnRedis
from tests.process.conftest import MakeProject
from tests.process.engines import sqlite
from tests.support.cli import Command
from tests.support.pool import Pool
from tests.support.project import Project
from tests.support.screens import Screens, screens
from tests.support.wait import until

__all__ = ["screens"]
CTRL_C, CTRL_Z = "\x03", "\x1a"


def top(screens: Screens, pool: Pool) -> Command:
    """The command, not on a terminal."""
    return Command(screens.project.folder, **screens.environment(pool.runtime))


@sqlite
def test_a_pool_is_watched_from_another_terminal(screens: Screens, project: Project) -> None:
    pool = project.ready(2)
    running = project.dispatch("Held", queue="slow")
    pool.until_runs(running)
    tty = screens.tty(200, 50)
    tty.new_poolq(project.folder, "top", **screens.environment(pool.runtime))
    tty.until_shows("RUNNING g1", "1/2 busy", "jobs:Held", running, "slow", "ping")
    tty.type("q")
    assert tty.until_ends() == 0
    assert tty.restored()
    assert f"pool default keeps running (master {pool.pid})" in tty.look()
    assert pool.until_runs(running)


@sqlite
@pytest.mark.parametrize("how", ["key", "term"])
def test_it_leaves_as_any_program_does(screens: Screens, project: Project, how: str) -> None:
    pool = project.ready(1)
    tty = screens.top(pool)
    tty.until_shows("WORKERS 1")
    if how == "key":
        tty.type(CTRL_C)
    else:
        tty.kill(signal.SIGTERM)
    assert tty.until_ends() == 0
    assert tty.restored()
    assert pool.code is None


@sqlite
def test_a_killed_master_is_no_end_of_its_jobs(screens: Screens, project: Project) -> None:
    pool = project.ready(1)
    pool.until_runs(project.dispatch("Held"))
    tty = screens.top(pool)
    tty.until_shows("WORKERS 1", "1/1 busy")
    pool.kill_master()
    assert tty.until_ends() == 0
    text = " ".join(tty.look().split())
    assert f"the master of pool default (pid {pool.pid}) has died, while 1 job ran: its" in text
    assert "has ended" not in text


@sqlite
def test_a_master_that_hangs_and_the_end_of_the_pool_are_told(
    screens: Screens, project: Project
) -> None:
    pool = project.ready(1)
    tty = screens.top(pool)
    tty.until_shows("WORKERS 1")
    pool.stop_master()
    tty.until_shows("master hangs: it has given no sign of life for")
    pool.continue_master()
    tty.until_hides("master hangs")
    pool.signal(signal.SIGTERM)
    assert pool.wait_exit() == 0
    assert tty.until_ends() == 0
    assert "pool default has ended after" in tty.look()
    assert tty.restored()


@sqlite
def test_the_mouse_and_keys_act_on_one_or_many(screens: Screens, project: Project) -> None:
    pool = project.ready(1)
    ids = project.dispatch_many("Fails", 3)
    until(lambda: len(project.failed()) == 3, 10, "three failed jobs")
    tty = screens.top(pool)
    tty.until_shows("FAILURES 3", "QUEUES 1")
    assert b"\x1b[?1000h\x1b[?1006h" in tty.raw
    for columns, lines in ((60, 15), (200, 50), (100, 30)):
        tty.resize(columns, lines)
        tty.until_shows("? help")
        tty.click("QUEUES 1")
        tty.until_shows("enter open  p pause")
        tty.type("A")
        shown = tty.until_shows("3 failed jobs in queue default: r retries, X forgets them")
        assert "esc: no" in shown
        tty.type("esc")
        tty.until_shows("nothing was changed")
        tty.type("s")
        tty.until_shows("queues: sorted by ")
        tty.type("?")
        tty.until_shows("KEYS: esc goes back")
        tty.type("esc")
    tty.click("ValueError: no luck")
    tty.until_shows("r retry", "A all like it")
    tty.click("ValueError: no luck")
    tty.until_shows(ids[2], "TRACEBACK")
    tty.type("esc", "A")
    tty.until_shows("3 failed jobs of jobs:Fails: r retries, X forgets them")
    tty.type("r")
    tty.until_shows("3 jobs of jobs:Fails before", "are retried")
    for id in ids:
        project.ledger.until("start", id, times=2)
    tty.type("esc")
    tty.click("QUEUES 1")
    tty.type("p")
    tty.until_shows("queue default is paused, on all nodes; p resumes it")
    running = project.dispatch("Held", queue="other")
    pool.until_runs(running)
    tty.until_shows("jobs:Held")
    tty.click(" 1 busy")
    tty.type("K")
    tty.until_shows(f"which has run jobs:Held {running} for", "c/g/N")
    tty.type("c")
    tty.until_shows("is cancelled")
    until(lambda: project.engine.find(running) is None, 10, "the end of the job")
    tty.type("q")
    assert tty.until_ends() == 0
    assert tty.restored()


BACK = "enter goes back to the screen"


@sqlite
def test_any_command_runs_in_front_of_the_screen(screens: Screens, project: Project) -> None:
    pool = project.ready(1)
    tty = screens.top(pool)
    tty.until_shows("WORKERS 1", "RUNNING g1")

    def run(text: str, *shown: str) -> None:
        """Run a command whose output shows this, and go back."""
        tty.type(*f":{text}", "enter")
        tty.until_shows(*shown, BACK)
        tty.type("enter")
        tty.until_shows("RUNNING g1", "? help")

    run("scal 2", "there is no command 'scal'; did you mean scale?")
    run("scale 2", "pool default is scaled to 2 workers")
    tty.until_shows("WORKERS 2")
    project.dispatch("Quick")
    tty.until_shows("QUEUES 1")
    tty.type(*":queue pause defa", "tab", "enter")
    tty.until_shows("paused default", BACK)
    tty.type("enter")
    waiting = project.dispatch_many("Quick", 3)
    run(f"job move {waiting[0]} --to other --yes", "moved")
    project.ledger.until("end", waiting[0])
    tty.type(*":queue purge default", "enter")
    tty.until_shows("jobs of queue 'default'? [y/N]")
    tty.type("y", "enter")
    tty.until_shows("purged 2 jobs of default", BACK)
    tty.type("enter")
    running = project.dispatch("Held", queue="other")
    pool.until_runs(running)
    tty.until_shows("1/2 busy", "jobs:Held")
    tty.type(*":log --follow --lines=9", "enter")
    tty.until_shows("done jobs:Quick")
    tty.type(CTRL_Z, CTRL_C)
    tty.until_shows(BACK)
    tty.type("enter")
    tty.until_shows("1/2 busy", "RUNNING g1")
    tty.type(*":log --follow --lines=9", "enter")
    tty.until_shows("done jobs:Quick")
    tty.kill(signal.SIGTERM)
    assert tty.until_ends() == 0
    assert tty.restored()
    assert pool.code is None


@sqlite
def test_an_engine_that_is_not_the_pools_is_not_touched(
    screens: Screens, project: Project, tmp_path: Path
) -> None:
    pool = project.ready(1)
    project.dispatch("Quick")
    until(project.settled, 10, "a job")
    other = f"sqlite:///{tmp_path}/other.db"
    tty = screens.top(pool, "--engine", other, size=(200, 30))
    tty.until_shows("QUEUES 1")
    tty.type("tab", "p")
    tty.until_shows("this pool uses sqlite:///")
    assert not (tmp_path / "other.db").exists()


#: It waits so long for an answer of the broker that no key can have waited for that, too.
PATIENT_TOP = """
from poolq.cli.main import main
from poolq.engines.redis import connection
connection.COMMON_OPTIONS["socket_timeout"] = 60
main(["top"])
"""


def test_a_broker_that_hangs_holds_up_no_key(
    make_project: MakeProject, own_redis: OwnRedis
) -> None:
    server = own_redis()
    with ExitStack() as stack:
        project = make_project(server.url)
        screens = Screens(stack, project)
        pool = project.ready(1)
        project.dispatch("Fails")
        until(project.failed, 10, "a failed job")
        tty = screens.tty()
        env = screens.environment(pool.runtime)
        tty.start(project.folder, sys.executable, "-c", PATIENT_TOP, **env)
        tty.until_shows("FAILURES 1", "QUEUES 1")
        server.freeze()
        tty.type("tab", "p")
        tty.until_shows("asked to pause default")
        tty.type("?")
        tty.until_shows("KEYS")
        tty.type("?")
        tty.until_shows("STALE", "WORKERS 1")
        tty.until_shows("engine gone")
        server.thaw()
        tty.until_hides("STALE")
        tty.until_hides("engine gone")


@sqlite
def test_all_of_it_once(screens: Screens, project: Project) -> None:
    """As text and as JSON."""
    pool = project.ready(2)
    running = project.dispatch("Held")
    pool.until_runs(running)
    project.dispatch("Fails", queue="other")
    until(project.failed, 10, "a failed job")
    poolq = top(screens, pool)
    until(lambda: "QUEUES 2" in poolq("top", "--once").out, 10, "both queues")
    done = poolq("top", "--once")
    assert done.code == 0
    assert "\x1b" not in done.out
    for text in ("RUNNING g1", "1/2 busy", running, "ValueError: no luck", "NODES 1", "LIMITS 0"):
        assert text in done.out
    found = poolq("top", "--json").json
    assert found["head"]["state"] == "running"
    assert [one["id"] for one in found["workers"] if one["id"]] == [running]
    assert [one["queue"] for one in found["queues"]] == ["default", "other"]


@sqlite
def test_failures_that_were_stored_before_the_pool_are_printed_too(
    screens: Screens, project: Project
) -> None:
    first = project.ready(1)
    project.dispatch_many("Fails", 20)
    until(lambda: len(project.failed()) == 20, 20, "the failed jobs")
    first.signal(signal.SIGTERM)
    assert first.wait_exit() == 0
    pool = project.ready(1)
    poolq = top(screens, pool)
    assert "FAILURES 20 " in poolq("top", "--once").out
    shown = {one["id"] for one in poolq("top", "--json").json["failures"]}
    assert shown == set(project.failed())
    done = poolq("top", "--once", "--engine=sqlite:////nowhere/else.db")
    assert (done.code, "FAILURES 0 " in done.out) == (0, True)
    assert done.line.startswith(
        "only the latest failures of this pool are shown, not all that are stored: this pool uses"
    )


@sqlite
def test_all_is_printed_once_where_there_is_no_terminal(screens: Screens, project: Project) -> None:
    pool = project.ready(1)
    tty = screens.tty()
    env = screens.environment(pool.runtime)
    tty.start(project.folder, "sh", "-c", f"{sys.executable} -m poolq top | cat", **env)
    assert tty.until_ends() == 0
    assert b"RUNNING g1" in tty.raw
    assert b"\x1b" not in tty.raw
