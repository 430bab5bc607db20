"""Workers that are killed in mid-job, or by their job: nothing is lost, nothing runs for ever."""

from __future__ import annotations

import signal
from typing import Any

import pytest

from poolq.jobs.message import entries
from tests.process.conftest import jobs
from tests.process.engines import each_kind, redis_and_sqlite, sqlite
from tests.support.pool import FOR_MINUTES, gone
from tests.support.project import Project
from tests.support.wait import until


@each_kind
def test_a_killed_workers_job_starts_again_at_once(project: Project) -> None:
    """Not only when something is looked at next, which is minutes later here."""
    pool = project.ready(1, *FOR_MINUTES)
    running = project.dispatch("Held")
    victim = pool.until_runs(running)
    project.ledger.until("start", running)
    waiting = project.dispatch_many("Quick", 3)
    victim.kill()
    _, second = project.ledger.until("start", running, 2)
    assert second.pid != victim.pid
    project.ledger.open()
    until(project.settled)
    assert project.ledger.ids("start") == [running, running, *waiting], "it goes to the head"
    assert project.ledger.ids("end") == [running, *waiting]
    assert project.total("crashed") == 1
    pool.until_said(f"(pid {victim.pid}) killed by SIGKILL")
    pool.until_said(f"recovered {running}")
    until(lambda: pool.zombies() == [], 10, "all dead reaped")


@redis_and_sqlite
def test_only_the_job_that_ran_is_charged(project: Project) -> None:
    """Of a claimed-ahead batch whose worker dies at once, in its first job of a new kind."""
    project.dispatch_many("Quick", 200)  # so that many are claimed at once
    deadly = project.dispatch("Dies", {"signal": int(signal.SIGKILL)}, max_crashes=1)
    behind = project.dispatch_many("Quick", 200)
    pool = project.pool(1, "--until-empty")
    assert pool.wait_exit() == 0
    assert project.ledger.times("end") == dict.fromkeys(project.ledger.ids("end"), 1)
    assert len(project.ledger.ids("end")) == 400
    assert set(behind) <= set(project.ledger.ids("end"))
    assert list(project.failed()) == [deadly]
    assert project.total("crashed") == 1
    assert project.total("done") == 400


#: The first job of a batch is put off, the second makes the store forget that, the third dies.
LOSES = """
import os, sqlite3
from contextlib import closing
from poolq import Job
from tests.support.ledger import note

rows = []

class Varies(Job):
    attempts = 2

    def run(self):
        note("start", self.id)
        how = self.payload.get("how")
        if how == "dies":
            os.kill(os.getpid(), 9)
        if how == "loses" or how == "put-off" and not os.path.exists("lost"):
            with closing(sqlite3.connect(self.payload["file"], isolation_level=None)) as line:
                line.row_factory = sqlite3.Row
                if how == "loses":
                    open("lost", "x").close()
                    (row,) = rows
                    all = ", ".join(f"{name} = :{name}" for name in row)
                    line.execute(f"UPDATE {self.payload['table']} SET {all} WHERE id = :id", row)
                else:
                    found = f"SELECT * FROM {self.payload['table']} WHERE id = ?"
                    rows.append(dict(line.execute(found, [self.id]).fetchone()))
                    self.release("1 hour")
        note("end", self.id)
"""


@sqlite
@jobs(LOSES)
def test_a_retry_that_the_store_has_lost_does_not_pass_for_done(project: Project) -> None:
    """As a failover does: the worker has the engine's word that the first job was put off, and has
    finished the second when it dies, but the store takes the first for one that it still has."""
    warm = project.dispatch_many("Varies", 600)  # so that many are claimed at once
    where = {"file": project.url.removeprefix("sqlite:///"), "table": f"{project.namespace}_jobs"}
    payloads = [{"how": how, **where} for how in ("put-off", "loses", "dies")]
    options = {"attempts": 2, "max_crashes": 1}
    put_off, loses, dies = project.dispatch_many("Varies", payloads, **options)
    pool = project.pool(1, "--until-empty")
    assert pool.wait_exit() == 0
    pool.until_said("1 jobs settled as done")
    assert project.ledger.times("end") == dict.fromkeys([*warm, put_off, loses], 1)
    assert project.ledger.times("start")[put_off] == 2
    assert list(project.failed()) == [dies]
    assert project.total("done") == 602


@redis_and_sqlite
def test_a_kill_amid_quick_jobs_repeats_one_at_most(project: Project) -> None:
    """Many are done then and not settled yet: the scoreboard knows which."""
    kills = 6
    ids = project.dispatch_many("Quick", 10_000)
    pool = project.pool(2)
    for kill in range(kills):
        until(lambda many=500 * (kill + 1): project.total("done") >= many)
        until(pool.ready)[0].kill()
    until(project.settled, 30)
    times = project.ledger.times("end")
    assert set(times) == set(ids)
    assert sum(times.values()) <= len(ids) + kills
    assert project.total("done") == len(ids)


@pytest.mark.parametrize(
    ("engine_url", "payload", "words", "kept"),
    [
        ("redis", {"signal": int(signal.SIGKILL)}, "killed by SIGKILL", (9, 0)),
        ("sqlite", {"signal": int(signal.SIGSEGV)}, "killed by SIGSEGV", (11, 0)),
        ("sqlite", {"code": 7}, "exited with code 7", (0, 7)),
        ("sqlite", {"code": 0}, "exited with code 0", (0, 0)),
    ],
    ids=["killed", "segfault", "exits", "exits-0"],
    indirect=["engine_url"],
)
def test_a_job_that_kills_its_workers_fails_after_three(
    project: Project, payload: dict[str, Any], words: str, kept: tuple[int, int]
) -> None:
    deadly = project.dispatch("Dies", payload, attempts=5)
    pool = project.pool(1, "--until-empty")
    assert pool.wait_exit() == 0
    assert project.ledger.ids("start") == [deadly] * 3
    assert project.ledger.ids("failure:JobCrashed") == [deadly]
    state = project.failed()[deadly].state
    assert (state.attempt, state.crashes) == (0, 3)
    history = entries(state.history)
    assert [line.cause for line in history] == ["crash"] * 3
    assert {(line.signal, line.exit_code) for line in history} == {kept}
    assert words in history[-1].error
    assert pool.log.count(f"failed jobs:Dies {deadly}") == 1
    assert words in pool.until_said(f"failed jobs:Dies {deadly}")


@redis_and_sqlite
def test_on_failure_is_run_again_when_its_worker_dies_in_it(project: Project) -> None:
    """And three times at most."""
    failing = project.dispatch("DiesInHook", {"deaths": 1})
    deadly = project.dispatch("DiesInHook", {"deaths": 99})
    assert project.pool(1, "--until-empty").wait_exit() == 0
    assert project.ledger.ids("start") == [failing, deadly], "run() is not called again"
    assert project.ledger.times("hook") == {failing: 2, deadly: 3}
    assert project.ledger.ids("hooked") == [failing]
    assert set(project.failed()) == {failing, deadly}


@pytest.mark.parametrize("code", [None, 0], ids=["killed", "exits"])
@sqlite
def test_a_jobs_subprocesses_die_with_its_worker(project: Project, code: int | None) -> None:
    pool = project.ready(1)
    payload = {} if code is None else {"code": code}
    parent = project.dispatch("Parent", payload, max_crashes=1)
    (child,) = project.ledger.until("child")
    if code is None:
        pool.until_runs(parent).kill()
    else:
        project.ledger.open()
    until(lambda: gone(int(child.id)), 5, "the subprocess's end")
    until(lambda: list(project.failed()) == [parent])


@sqlite
def test_a_worker_that_is_killed_at_rest_is_replaced(project: Project) -> None:
    pool = project.ready(2)
    victims = pool.until_idle(2)
    for victim in victims:
        victim.kill()
    until(lambda: not {one.pid for one in victims} & {one.pid for one in pool.idle()})
    pool.until_idle(2)
    project.dispatch("Quick")
    until(lambda: project.total("done") == 1)
    assert project.total("crashed") == 0
    until(lambda: pool.zombies() == [], 10, "all dead reaped")


#: Jobs whose class kills, or holds up, whoever builds one of it.
POISON = """
import os, threading
from poolq import Job
from tests.support.ledger import note

class Init(Job):
    def __init__(self):
        os._exit(3)
    def run(self):
        note("start", self.id)
    def on_failure(self):
        note("failure", self.id)

class New(Job):
    def __new__(cls):
        os.kill(os.getpid(), 9)
    def run(self):
        note("start", self.id)

class Hangs(Job):
    def __init__(self):
        threading.Event().wait()
    def run(self):
        note("start", self.id)

class HangsAgain(Hangs):
    def on_failure(self):
        note("failure", self.id)

class Good(Job):
    def run(self):
        note("end", self.id)
"""


@sqlite
@jobs(POISON)
def test_a_class_that_kills_whoever_builds_it_ends(project: Project) -> None:
    """It is built for `run()` and for `on_failure()`; each is bounded."""
    options = {"attempts": 2, "max_crashes": 2, "timeout": 0.3}
    ids = {
        name: project.dispatch(name, **options) for name in ("Init", "New", "Hangs", "HangsAgain")
    }
    good = project.dispatch_many("Good", 20)
    pool = project.pool(2, "--until-empty")
    assert pool.wait_exit(40) == 0
    assert sorted(project.ledger.ids("end")) == sorted(good)
    assert project.ledger.ids("start") == project.ledger.ids("failure") == []
    failed = project.failed()
    assert set(failed) == set(ids.values())
    kept = {name: failed[id].state for name, id in ids.items()}
    assert {name: (one.attempt, one.crashes, one.failing) for name, one in kept.items()} == {
        "Init": (0, 2, 3),
        "New": (0, 2, 1),
        "Hangs": (2, 0, 1),
        "HangsAgain": (2, 0, 3),
    }
